"""DepthToSpace and SpaceToDepth: wiring."""

from __future__ import annotations

from nmcompiler.frontend.builder import Builder
from nmcompiler.frontend.node import Node
from nmcompiler.frontend.registry import operator
from nmcompiler.frontend.values import Refusal, Wire

# The block is the slower part of the channels in DCR, the faster one in CRD.
_OUT_OF_CHANNELS = {"DCR": (0, 3, 4, 1, 5, 2), "CRD": (0, 1, 4, 2, 5, 3)}
_INTO_CHANNELS = {"DCR": (0, 3, 5, 1, 2, 4), "CRD": (0, 1, 3, 5, 2, 4)}


@operator("DepthToSpace")
def depth_to_space(node: Node, builder: Builder) -> Wire:
    """Channels become blocks of ``blocksize × blocksize`` pixels."""
    (count, channels, rows, columns), block = _map(node), node.integer("blocksize", 0)
    mode = _mode(node)
    if block < 1 or channels % (block * block):
        raise Refusal(f"{channels} channels do not divide into blocks of {block} × {block}")
    depth = channels // (block * block)
    split = (count, block, block, depth) if mode == "DCR" else (count, depth, block, block)
    ids = node.wire(0).ids.reshape(*split, rows, columns).transpose(_OUT_OF_CHANNELS[mode])
    return Wire(ids.reshape(count, depth, rows * block, columns * block))


@operator("SpaceToDepth")
def space_to_depth(node: Node, builder: Builder) -> Wire:
    """Blocks of ``blocksize × blocksize`` pixels become channels; until opset 27 always as DCR."""
    (count, channels, rows, columns), block = _map(node), node.integer("blocksize", 0)
    if block < 1 or rows % block or columns % block:
        raise Refusal(f"{rows} × {columns} pixels do not divide into blocks of {block} × {block}")
    ids = node.wire(0).ids.reshape(count, channels, rows // block, block, columns // block, block)
    shape = (count, channels * block * block, rows // block, columns // block)
    return Wire(ids.transpose(_INTO_CHANNELS[_mode(node)]).reshape(shape))


def _mode(node: Node) -> str:
    mode = node.text("mode", "DCR")
    if mode not in _OUT_OF_CHANNELS:
        raise Refusal(f"mode '{mode}' does not exist")
    return mode


def _map(node: Node) -> tuple[int, ...]:
    shape = node.wire(0).shape
    if len(shape) != 4:
        raise Refusal(f"works on a tensor of shape {list(shape)}: 2 spatial axes are supported")
    return shape
