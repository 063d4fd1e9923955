"""What proves a program: whole chains from an integer network to the simulated chip."""
