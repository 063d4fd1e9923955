"""The chain from an integer network to a placed program: what the compiler does after the passes."""

from __future__ import annotations

import numpy as np

from nmcompiler.backend import Backend, BackendBase, MapOptions
from nmcompiler.codings import coding
from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.network import Network
from nmcompiler.ir.spiking import Spiking
from nmcompiler.passes.base import Context
from nmcompiler.passes.pipeline import Pipeline
from nmcompiler.program.layout import Program
from nmcompiler.target import Target

__all__ = ["placed_program"]


def placed_program(
    network: Network,
    target: Target,
    code: str,
    *,
    backend: Backend | None = None,
    seed: int = 0,
    timesteps: int | None = None,
    passes: int | None = 1,
) -> tuple[Program, Spiking]:
    """Returns an integer network as the placed program of a chip, and the golden network that it must equal.

    Args:
        network: Any integer network; the backend's legalising passes run first.
        target: The chip.
        code: Name of the spike code.
        backend: What compiles; the defaults of ``BackendBase`` where None.
        seed: Seed of the placement; where four divides it, the partition is searched for as well, and every
            second time refined.
        timesteps: Steps T of the rate code.
        passes: Most passes over the chips; None for as many as are needed.
    """
    made = backend or BackendBase()
    chosen = coding(code)
    context = Context(calibration=None, target=target, seed=seed)
    legal = Pipeline(made.legalise(chosen, target)).run(network, context).graph
    assert isinstance(legal, Network)
    encoding = next(e for e in chosen.input_encodings if e in target.input_encodings)
    spiking = chosen.convert(legal, target, input_encoding=encoding, timesteps=timesteps)
    traffic = Traffic({p.name: np.ones(p.shape) for p in legal.graph})
    # Nothing computed depends on the mapping; its kinds take turns, the one that takes longest less often.
    atom_moves = 20 if seed % 8 == 4 else 0
    mapping = MapOptions(seed=seed, moves=10, passes=passes, search=seed % 4 == 0, atom_moves=atom_moves)
    cores = made.map(spiking, target, traffic, mapping)
    return made.emit(spiking, cores, target), spiking
