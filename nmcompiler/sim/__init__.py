"""The simulator of a placed program."""

from nmcompiler.sim.certificate import Certificate, certificate
from nmcompiler.sim.engine import Job, Simulator, TileRunner
from nmcompiler.sim.ports import decode, encode
from nmcompiler.sim.profile import Profile
from nmcompiler.sim.result import Record, RunResult
from nmcompiler.sim.stream import Stream

__all__ = [
    "Certificate",
    "Job",
    "Profile",
    "Record",
    "RunResult",
    "Simulator",
    "Stream",
    "TileRunner",
    "certificate",
    "decode",
    "encode",
]
