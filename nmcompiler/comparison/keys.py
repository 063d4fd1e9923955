"""Keys by which a finished row is found again: of what was read, what was asked, and what computed it."""

from __future__ import annotations

import hashlib
import json

from nmcompiler.comparison.cases import Case
from nmcompiler.digests import code_digest
from nmcompiler.registry import backend

__all__ = ["row_key"]


def row_key(data: str, case: Case) -> str:
    """Returns the key of a row: equal exactly where the row would come out equal.

    Threads and batches take no part, since they change no result.
    """
    owner = type(backend(case.options.backend or case.target.backend)).__module__.partition(".")[0]
    identity = {
        "data": data,
        "case": case.identity(),
        "code": [code_digest(name) for name in ("nmcompiler", owner)],
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
