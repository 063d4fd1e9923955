"""Resistive memory: how far a device is from its target, at the times for which that was published."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from nmcompiler.errors import UsageError
from nmcompiler_backends.mixed_signal.variation.chip import FloatArray, Normals

__all__ = ["RramDevice", "RramProgramming"]

_FITTED_AT_US = 40.0
_DAY_S = 86_400.0
_WAN_2022: Mapping[float, tuple[float, ...]] = MappingProxyType(
    {
        1.0: (0.348, 16.030, -43.853, 45.393, -16.815),
        _DAY_S: (0.701, 22.086, -50.773, 47.095, -16.458),
        2 * _DAY_S: (0.782, 20.274, -43.507, 37.062, -11.934),
    }
)


@dataclass(frozen=True)
class RramProgramming:
    """``g = max(0, g_target + σ·N)``, ``σ = Σ c_i·x^i`` in µS at g_max = 40 µS, x = g / g_max.

    Source: aihwkit's ``ReRamWan2022NoiseModel``, a fit of the spread that Wan et al. (Nature 2022) published
    after 1 s, 1 day and 2 days; nothing is known in between, so nothing is interpolated. A device keeps its
    N from time to time, which is an assumption: the spreads say nothing of single devices.

    Attributes:
        coefficients: c_0 to c_4 in µS, by seconds since programming.
    """

    coefficients: Mapping[float, tuple[float, ...]] = field(default_factory=lambda: _WAN_2022)

    def sigma(self, x: FloatArray, time_s: float) -> FloatArray:
        """Returns the standard deviation before rectification, over g_max.

        Raises:
            UsageError: Nothing was published for that time.
        """
        known = self.published(time_s)
        powers = np.asarray(x)[..., None] ** np.arange(len(known))
        sigma: FloatArray = powers @ np.array(known) / _FITTED_AT_US
        return sigma

    def published(self, time_s: float) -> tuple[float, ...]:
        """Returns the coefficients of a time, or raises ``UsageError`` where there are none."""
        known = self.coefficients.get(float(time_s))
        if known is None:
            times = ", ".join(f"{t:g}" for t in sorted(self.coefficients))
            raise UsageError(
                f"the spread of resistive memory {time_s:g} s after programming was never published",
                allowed=f"{times} s",
                hint="nothing is interpolated",
            )
        return known

    def programmed(self, x: FloatArray, time_s: float, normals: FloatArray) -> FloatArray:
        """Returns the conductances, over g_max, at a time after programming."""
        return np.maximum(0.0, x + self.sigma(x, time_s) * normals)


@dataclass(frozen=True)
class RramDevice:
    """One device; a part that is None does not vary."""

    programming: RramProgramming | None = field(default_factory=RramProgramming)

    @property
    def sources(self) -> tuple[str, ...]:
        """What varies."""
        return () if self.programming is None else ("programming",)

    def only(self, sources: Collection[str]) -> RramDevice:
        """Returns a device in which nothing but these varies."""
        return RramDevice(self.programming if "programming" in sources else None)

    def check(self, time_s: float) -> None:
        """Raises ``UsageError`` where nothing is known of a time after programming."""
        if self.programming is not None:
            self.programming.published(time_s)

    def conductances(self, x: FloatArray, time_s: float, normals: Normals) -> FloatArray:
        """Returns what is read, over g_max, of devices that were programmed to x; see ``PcmDevice``."""
        if self.programming is None:
            return x
        return self.programming.programmed(x, time_s, normals("programming"))

    def gains(self, shape: tuple[int, ...], normals: Normals) -> FloatArray:
        """Returns by what the sums of columns are multiplied where they are read: nothing was published."""
        return np.ones(shape)
