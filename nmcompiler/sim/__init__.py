"""The simulator of a placed program."""

from nmcompiler.sim.certificate import Certificate, certificate
from nmcompiler.sim.engine import Simulator
from nmcompiler.sim.ports import decode, encode
from nmcompiler.sim.result import Record, RunResult

__all__ = ["Certificate", "Record", "RunResult", "Simulator", "certificate", "decode", "encode"]
