"""Backends that ship with nmcompiler; each comes in through the entry points, like any other."""
