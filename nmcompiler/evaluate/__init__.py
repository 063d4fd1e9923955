"""Executors of the layer graph and of the integer network: the judges, slow enough to be obvious."""
