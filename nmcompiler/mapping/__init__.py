"""Partition, placement and routing: algorithms that any backend may use."""

from nmcompiler.mapping.mapper import MapOptions, map_network

__all__ = ["MapOptions", "map_network"]
