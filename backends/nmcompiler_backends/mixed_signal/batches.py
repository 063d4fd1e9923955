"""How many samples the simulators of analog chips run at a time."""

from __future__ import annotations

__all__ = ["tile_samples"]

# A block of few neurons takes less time than the calls that run it: many samples share them.
_MOST_SAMPLES = 250
_HELD_BYTES = 16 * 2**20


def tile_samples(least: int, held: int, samples: int, threads: int) -> int:
    """Returns the samples of a tile.

    Args:
        least: What a digital simulator would take.
        held: Bytes that one sample takes.
        samples: Samples of the run.
        threads: Threads that share them, each of which should have a tile.
    """
    most = min(_MOST_SAMPLES, _HELD_BYTES // max(held, 1), -(-samples // threads))
    return max(1, least, most)
