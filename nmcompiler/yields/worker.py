"""A process that simulates one chip after another: lines of JSON in, lines of JSON out.

Every line in is ``{"setting": …}`` or ``{"jobs": [[number, job], …]}``; every line out is
``{"number": …, "row" or "error": …, "cpu_seconds": …}``. It ends when its input does, so that no worker
outlives the command.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Answers jobs until there are no more."""
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer

    from nmcompiler.evaluate.threads import one_blas_thread
    from nmcompiler.sim.jit import jit
    from nmcompiler.yields.subject import Setting, answer

    jit(_warm)(0)
    setting: Setting = {}
    spent = 0.0
    with one_blas_thread(), os.fdopen(out, "wb") as answers:
        for line in sys.stdin.buffer:
            message: dict[str, Any] = json.loads(line)
            setting = message.get("setting", setting)
            for number, job in message.get("jobs", ()):
                said = answer(setting, job)
                used = time.process_time()
                said |= {"number": number, "cpu_seconds": used - spent}
                spent = used
                answers.write(json.dumps(said).encode() + b"\n")
                answers.flush()


def _warm(x: int) -> int:
    """Does nothing: numba needs a second before its first kernel, while the command prepares the jobs."""
    return x
