"""Every error a user can meet: one root, and each says what was asked, found, allowed, and what to try."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "BackendFault",
    "DoesNotFit",
    "InputFileError",
    "NmcError",
    "NotVerified",
    "RefusedNode",
    "TargetFileError",
    "UnsupportedModel",
    "UsageError",
    "did_you_mean",
    "nearest",
]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``did you mean 'a' or 'b'?``, or nothing where nothing is near."""
    close = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.5)
    return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ``did you mean 'a' or 'b'?``, or the list of what is known where nothing is near."""
    names = sorted(known)
    return did_you_mean(name, names) or "choose one of " + ", ".join(names)


_LONGEST_WORD = 300


def _plain(text: str) -> str:
    """Returns text without control characters and endless words: names in files may hold anything."""
    visible = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda word: f"{word[0][:80]}…{word[0][-20:]}", visible)


class NmcError(Exception):
    """Root of all errors that are the user's to mend.

    Args:
        found: What is wrong, as a clause that can open a sentence.
        asked: What was asked for when it was found.
        allowed: What would have been right.
        hint: What to try next.
        node: The ONNX node or layer concerned.
        core: The core concerned.
    """

    exit_code = 1

    def __init__(
        self,
        found: str,
        *,
        asked: str = "",
        allowed: str = "",
        hint: str = "",
        node: str | None = None,
        core: int | None = None,
    ) -> None:
        self.found = found
        self.asked = asked
        self.allowed = allowed
        self.hint = hint
        self.node = node
        self.core = core
        super().__init__(self.sentence())

    def sentence(self) -> str:
        """Returns the one sentence that the command line prints."""
        text = f"{self.asked}: {self.found}" if self.asked else self.found
        parts = [text]
        if self.allowed:
            parts.append(f"allowed: {self.allowed}")
        if self.hint:
            parts.append(self.hint)
        return _plain("; ".join(parts))


class UsageError(NmcError):
    """An option or argument that cannot be meant."""

    exit_code = 2


class InputFileError(NmcError):
    """A file that cannot be read as what it should be."""

    exit_code = 2


class TargetFileError(NmcError):
    """A chip description with a wrong or missing entry."""

    exit_code = 2


@dataclass(frozen=True)
class RefusedNode:
    """A node that cannot be compiled: its name, operator, the reason and what helps."""

    name: str
    op: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.op} '{self.name}': {self.reason}{tail}"


class UnsupportedModel(NmcError):
    """A model with nodes that cannot be compiled; ``nodes`` holds all of them, never only the first."""

    exit_code = 2

    def __init__(self, nodes: Iterable[RefusedNode], *, asked: str = "") -> None:
        self.nodes = tuple(nodes)
        count = len(self.nodes)
        plural = "node" if count == 1 else "nodes"
        super().__init__(
            f"{count} {plural} cannot be compiled: " + "; ".join(str(n) for n in self.nodes), asked=asked
        )


class DoesNotFit(NmcError):
    """A network that a chip cannot hold.

    Args:
        layer: The layer that does not fit.
        resource: One of the resource names of ``nmcompiler.target.Limits``.
        used: How much the smallest possible piece of the layer needs.
        limit: How much there is.
        hint: What would help.
        words: What the sentence calls the resource, where its name would not say enough.
    """

    exit_code = 1

    def __init__(
        self, *, layer: str, resource: str, used: int, limit: int, target: str, hint: str, words: str = ""
    ) -> None:
        self.layer = layer
        self.resource = resource
        self.used = used
        self.limit = limit
        self.words = words
        found = f"layer '{layer}' needs {used} {words or resource} where {target} has {limit}"
        super().__init__(found, hint=hint, node=layer)


class NotVerified(NmcError):
    """A program or pass result that is not the network it should be."""

    exit_code = 1


class BackendFault(NmcError):
    """A backend that broke the protocol; never the user's fault."""

    exit_code = 3
