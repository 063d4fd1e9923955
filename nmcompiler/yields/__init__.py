"""How a program fares on many chips that differ: drawn, perhaps compensated, run and judged, by many workers.

Modules are imported one by one: workers need none of what prepares and sums up their work.
"""
