"""Partition, placement and routing: algorithms that any backend may use."""

from nmcompiler.mapping.mapper import EFFORTS, Effort, MapOptions, map_network

__all__ = ["EFFORTS", "Effort", "MapOptions", "map_network"]
