"""A row of the table `blocks`: a box of one population on one core."""

from dataclasses import dataclass

BLOCK_COLUMNS = 23
KIND_INPUT = 0
KIND_CROSSBAR = 4


def require(condition: bool, message: str) -> None:
    """ValueError with the message where the condition does not hold."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Block:
    """One row of `blocks`, the columns in the order of the document."""

    kind: int
    core: int
    population: int
    gid0: int
    n: int
    y0: int
    x0: int
    c0: int
    height: int
    width: int
    channels: int
    levels: int
    signed: int
    window: int
    fire_start: int
    steps: int
    param0: int
    param_n: int
    weight0: int
    weight_n: int
    run0: int
    run_n: int
    shift: int

    @property
    def is_input(self) -> bool:
        return self.kind == KIND_INPUT

    @property
    def is_crossbar(self) -> bool:
        return self.kind == KIND_CROSSBAR

    @property
    def box_size(self) -> int:
        """Neurons of the box; those beyond it are copies."""
        return self.height * self.width * self.channels

    @property
    def is_readout(self) -> bool:
        return not self.is_input and self.levels == 0

    @property
    def may_be_negative(self) -> bool:
        """Whether its spikes carry a sign; `signed` 2 only takes spikes back."""
        return self.signed == 1

    def active(self, t: int) -> bool:
        return 0 <= t - self.fire_start < self.steps
