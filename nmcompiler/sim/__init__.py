"""The simulator of a placed program."""
