"""Phase-change memory: programming noise, drift and read noise of one device.

Formulas and coefficients are those of aihwkit's ``PCMLikeNoiseModel``, a fit of measured devices (Nandakumar
et al., ICECS 2019). x is a conductance over its largest, ``g / g_max``; the fit was made at 25 µS, and what
it says in µS grows with g_max. All spreads follow from the target x, not from what came of it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from nmcompiler.errors import UsageError
from nmcompiler_backends.mixed_signal.variation.chip import FloatArray, Normals

__all__ = ["PcmDevice", "PcmDrift", "PcmProgramming", "PcmReadNoise"]

_FITTED_AT_US = 25.0
_SMALLEST = 1e-7  # of x, before its logarithm


@dataclass(frozen=True)
class PcmProgramming:
    """``g_p = max(0, g + σ·N)``, ``σ = c0 + c1·x + c2·x²`` in µS at g_max = 25 µS.

    Attributes:
        coefficients: c0, c1, c2 in µS.
    """

    coefficients: tuple[float, float, float] = (0.26348, 1.9650, -1.1731)

    def sigma(self, x: FloatArray) -> FloatArray:
        """Returns the standard deviation before rectification, over g_max."""
        c0, c1, c2 = self.coefficients
        return (c0 + c1 * x + c2 * x * x) / _FITTED_AT_US

    def programmed(self, x: FloatArray, normals: FloatArray) -> FloatArray:
        """Returns the conductances, over g_max, that programming reaches."""
        return np.maximum(0.0, x + self.sigma(x) * normals)


@dataclass(frozen=True)
class PcmDrift:
    """``g(t) = g_p · (t / t0)^−ν`` from t0 = 20 s on, ν normal for each device.

    Mean ``clip(−0.0155·ln x + 0.0244, 0.049, 0.1)``, standard deviation ``clip(−0.0125·ln x − 0.0059, 0.008,
    0.045)``. ν may be negative (1.3 % of the devices at x = 0.01), where aihwkit takes its magnitude: here
    ``ln(g(t) / g_p)`` is exactly normal.

    Attributes:
        mean: Slope over ln x, offset, least and most of the mean of ν.
        spread: Likewise of its standard deviation.
        t0_s: Time of the first reading after programming, in seconds.
    """

    mean: tuple[float, float, float, float] = (-0.0155, 0.0244, 0.049, 0.1)
    spread: tuple[float, float, float, float] = (-0.0125, -0.0059, 0.008, 0.045)
    t0_s: float = 20.0

    def mu(self, x: FloatArray) -> FloatArray:
        """Returns the mean of ν."""
        return _clipped(self.mean, x)

    def sigma(self, x: FloatArray) -> FloatArray:
        """Returns the standard deviation of ν."""
        return _clipped(self.spread, x)

    def factors(self, x: FloatArray, time_s: float, normals: FloatArray) -> FloatArray:
        """Returns what is left of each conductance some seconds after programming, 1 before t0."""
        log = np.log(max(time_s / self.t0_s, 1.0))
        left: FloatArray = np.exp(-(self.mu(x) + self.sigma(x) * normals) * log)
        return left


@dataclass(frozen=True)
class PcmReadNoise:
    """``g = max(0, g(t) · (1 + Q·sqrt(ln((t + t_r) / (2·t_r)))·N))``, ``Q = min(0.0088 / x^0.65, 0.2)``.

    1/f noise accumulated since programming. It is drawn once for a run, as aihwkit does.

    Attributes:
        scale: Q at x = 1.
        exponent: Of x.
        most: Largest Q.
        read_s: Time of one reading t_r, in seconds.
    """

    scale: float = 0.0088
    exponent: float = 0.65
    most: float = 0.2
    read_s: float = 250e-9

    def sigma(self, x: FloatArray, time_s: float) -> FloatArray:
        """Returns the standard deviation over the conductance itself."""
        q = np.minimum(self.scale / np.maximum(x, _SMALLEST) ** self.exponent, self.most)
        grown: FloatArray = q * np.sqrt(np.log((time_s + self.read_s) / (2 * self.read_s)))
        return grown

    def factors(self, x: FloatArray, time_s: float, normals: FloatArray) -> FloatArray:
        """Returns by what each conductance is multiplied where it is read."""
        return np.maximum(0.0, 1.0 + self.sigma(x, time_s) * normals)


@dataclass(frozen=True)
class PcmDevice:
    """One device; a part that is None does not vary."""

    programming: PcmProgramming | None = PcmProgramming()
    drift: PcmDrift | None = PcmDrift()
    read: PcmReadNoise | None = PcmReadNoise()

    @property
    def sources(self) -> tuple[str, ...]:
        """What varies."""
        parts = {"programming": self.programming, "drift": self.drift, "read": self.read}
        return tuple(name for name, part in parts.items() if part is not None)

    def only(self, sources: Collection[str]) -> PcmDevice:
        """Returns a device in which nothing but these varies."""
        return PcmDevice(
            self.programming if "programming" in sources else None,
            self.drift if "drift" in sources else None,
            self.read if "read" in sources else None,
        )

    def check(self, time_s: float) -> None:
        """Raises ``UsageError`` where nothing is known of a time after programming."""
        if not time_s > 0:
            raise UsageError(f"a reading {time_s:g} s after programming", allowed="a time above 0 s")

    def conductances(self, x: FloatArray, time_s: float, normals: Normals) -> FloatArray:
        """Returns what is read, over g_max, of devices that were programmed to x.

        Args:
            x: Targets over g_max, 0 to 1.
            time_s: Seconds since programming.
            normals: Draws one number for each device.

        Raises:
            UsageError: The time is not positive.
        """
        self.check(time_s)
        g = x if self.programming is None else self.programming.programmed(x, normals("programming"))
        if self.drift is not None:
            g = g * self.drift.factors(x, time_s, normals("drift"))
        if self.read is not None:
            g = g * self.read.factors(x, time_s, normals("read"))
        return g

    def gains(self, shape: tuple[int, ...], normals: Normals) -> FloatArray:
        """Returns by what the sums of columns are multiplied where they are read: nothing was published."""
        return np.ones(shape)


def _clipped(line: tuple[float, float, float, float], x: FloatArray) -> FloatArray:
    slope, offset, least, most = line
    return np.clip(slope * np.log(np.maximum(x, _SMALLEST)) + offset, least, most)
