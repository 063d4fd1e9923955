"""What a pass is: a frozen value with a name, its options as fields, and a promise of what it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, Protocol, TypeVar

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.layers import Model
from nmcompiler.ir.network import Network
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.target.model import Target

__all__ = ["EXACT", "LOSSY", "Context", "Fitted", "Keeps", "Note", "Pass", "PassResult", "close"]

G = TypeVar("G", Model, Network)


@dataclass(frozen=True)
class Keeps:
    """What a pass keeps of the outputs.

    Attributes:
        kind: ``exact``: every bit; ``close``: up to rounding; ``lossy``: what calibration makes of it.
        rtol: For ``close``: largest deviation, relative to the largest output.
    """

    kind: Literal["exact", "close", "lossy"]
    rtol: float = 0.0


EXACT = Keeps("exact")
LOSSY = Keeps("lossy")


def close(rtol: float) -> Keeps:
    """Returns the promise to keep the outputs up to rounding."""
    return Keeps("close", rtol)


@dataclass(frozen=True)
class Fitted:
    """How a network was made to fit the synapses of a neuron.

    Attributes:
        method: ``exact``, ``split`` or ``prune``.
        agreement: Share of the calibration samples whose answer stays the same; None where not known.
    """

    method: str
    agreement: float | None


@dataclass(frozen=True)
class Note:
    """What a pass has to say about one layer.

    Attributes:
        layer: Name of the layer or population.
        text: A clause for people; empty where the figures say it all.
        sqnr_db: Signal to quantisation noise of the layer's result on the calibration data, in decibels.
        silent_channels: Channels that calibration never saw active.
        saturated_share: Share of calibration values that were cut at the largest level.
        by_target: Whether limits of the chip decided this, so that another chip may get another graph.
        fitted: How the network was made to fit the synapses of a neuron, where it was.
        warning: Whether the answers of the network change, so that the user must be told.
    """

    layer: str
    text: str = ""
    sqnr_db: float | None = None
    silent_channels: int = 0
    saturated_share: float = 0.0
    by_target: bool = False
    warning: bool = False
    fitted: Fitted | None = None


@dataclass(frozen=True, eq=False)
class Context:
    """What passes may look at besides the graph.

    Attributes:
        calibration: Samples by input name, ``(N, *shape)``; None where no pass needs them.
        target: The chip.
        seed: Seed of everything that is drawn.
        progress: Told how far long work is.
    """

    calibration: Mapping[str, Array] | None
    target: Target
    seed: int = 0
    progress: Progress = silent


@dataclass(frozen=True, eq=False)
class PassResult(Generic[G]):
    """A new graph, whether it differs from the old one, and what there is to say."""

    graph: G
    changed: bool
    notes: tuple[Note, ...] = ()


class Pass(Protocol[G]):
    """A rewrite from model to model, or from network to network; well formed before and after."""

    name: ClassVar[str]
    keeps: ClassVar[Keeps]

    def run(self, graph: G, context: Context) -> PassResult[G]:
        """Returns the rewritten graph; the one given is never changed."""
        ...
