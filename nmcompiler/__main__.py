"""``python -m nmcompiler`` is ``nmc``."""

from nmcompiler.cli.main import main

main()
