"""Operators that want images ``(1, C, …)``, where a model without a batch has several along axis 0."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nmcompiler.frontend.node import Node
from nmcompiler.frontend.values import Refusal, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from nmcompiler.frontend.builder import Builder

__all__ = ["image_by_image"]

_MOST_IMAGES = 256  # each one makes layers of its own

_Handler: TypeAlias = "Callable[[Node, Builder], Wire]"


def image_by_image(handler: _Handler) -> _Handler:
    """Returns a handler that calls another once for each image along axis 0, and joins the results."""

    @functools.wraps(handler)
    def of_all(node: Node, builder: Builder) -> Wire:
        ids = node.wire(0).ids
        if node.batched or ids.ndim < 3 or len(ids) == 1:
            return handler(node, builder)
        if len(ids) > _MOST_IMAGES:
            raise Refusal(f"works on {len(ids)} images at once: at most {_MOST_IMAGES} are supported")
        images = (replace(node, operands=(Wire(image[None]), *node.operands[1:])) for image in ids)
        return Wire(np.concatenate([handler(image, builder).ids for image in images]))

    return of_all
