"""Partition, placement and routing: algorithms that any backend may use."""
