"""How a program fares on many chips that differ."""
