"""Damaged and hostile files: mutations of bytes, of protobuf messages, of JSON documents and of programs.

Everything follows from the generator that is handed in, so that a seed names a file.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from nmcompiler.errors import InputFileError
from nmcompiler.program.members import array_from, checksum

__all__ = ["mutated_bytes", "mutated_model", "mutated_program", "mutated_text"]

_INTEGERS = (0, 1, -1, 2, 3, 7, 255, 2**16, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
_NUMBERS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e30, 3e38, float("inf"), float("-inf"), float("nan"))
_TEXTS = (
    "",
    "x",
    "y",
    "\x00",
    "a\nb",
    "\x1b[31m",
    "../../etc/passwd",
    "/dev/zero",
    "é" * 40,
    "a" * 5000,
    "ai.onnx",
    "com.unknown",
)
_MANIFEST = "manifest.json"


def mutated_bytes(data: bytes, rng: np.random.Generator, count: int = 1) -> bytes:
    """Returns bytes after ``count`` random changes: flips, cuts, copies, runs of one value, insertions."""
    changed = bytearray(data)
    for _ in range(count):
        if not changed:
            return bytes(rng.bytes(8))
        at = int(rng.integers(len(changed)))
        length = min(len(changed) - at, 1 << int(rng.integers(12)))
        rule = int(rng.integers(7))
        if rule == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif rule == 1:
            changed[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
        elif rule == 2:
            del changed[at : at + length]
        elif rule == 3:
            changed[at:at] = changed[at : at + length]
        elif rule == 4:
            changed[at : at + length] = bytes([int(rng.choice([0, 0xFF]))]) * length
        elif rule == 5:
            changed[at:at] = rng.bytes(min(length, 16))
        else:
            del changed[at:]
    return bytes(changed)


def mutated_model(model: onnx.ModelProto, rng: np.random.Generator, count: int = 1) -> onnx.ModelProto:
    """Returns a model with ``count`` fields of its messages exchanged, doubled, emptied or taken away.

    Args:
        model: Stays as it is.
        rng: Source of all choices.
        count: Number of changes.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(count):
        places = list(_fields(changed))
        if places:
            message, field = places[int(rng.integers(len(places)))]
            _change_field(message, field, rng, places)
    return changed


def mutated_text(text: str, rng: np.random.Generator, count: int = 1) -> str:
    """Returns text with ``count`` words, lines or values exchanged for others or for extremes."""
    lines = text.splitlines()
    for _ in range(count):
        at, other = (int(i) for i in rng.integers(len(lines), size=2))
        rule = int(rng.integers(6))
        if rule == 0:
            del lines[at]
        elif rule == 1:
            lines[at:at] = [lines[other]]
        elif rule == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif rule == 3 and "=" in lines[at]:
            lines[at] = f"{lines[at].partition('=')[0]}= {_choice(_TOML, rng)}"
        elif rule == 4:
            lines[at] = lines[at].replace('"', "", 1)
        else:
            words = lines[at].split() or [""]
            words[int(rng.integers(len(words)))] = _choice(_TOML, rng)
            lines[at] = " ".join(words)
        if not lines:
            lines = [""]
    return "\n".join(lines)


_TOML = (
    *(
        "0",
        "-1",
        "1e400",
        "inf",
        "nan",
        "true",
        '""',
        '"x"',
        "[]",
        "{}",
        "[[]]",
        "[[[[1]]]]",
        "99999999999999999999",
    ),
    *("9223372036854775807", "1979-05-27", "{ a = 1 }", '["phase", "phase"]', "[target]", "0x7fffffff", "é"),
    *("[" * 3000, '"' + "a" * 5000 + '"', "= =", "# x"),
)


def mutated_program(data: bytes, rng: np.random.Generator, count: int = 1) -> bytes:
    """Returns the bytes of a ``.nmc`` file with members changed and their checksums made right again."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop(_MANIFEST))
    for _ in range(count):
        name = _choice((*members, *[_MANIFEST] * len(members)), rng)
        if name == _MANIFEST:
            _change_document(manifest, rng)
        elif name.endswith(".npy") and rng.integers(3):
            members[name] = _changed_array(members[name], rng)
        elif rng.integers(8) == 0:
            del members[name]
        else:
            members[name] = mutated_bytes(members[name], rng)
    if isinstance(manifest, dict) and "sha256" in manifest:
        manifest["sha256"] = {name: checksum(member) for name, member in members.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_MANIFEST, json.dumps(manifest))
        for name, member in members.items():
            archive.writestr(name, member)
    return stream.getvalue()


def _choice(options: Sequence[Any], rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]


def _fields(message: Any) -> Iterator[tuple[Any, Any]]:
    """Yields all set fields of a message and of the messages in it."""
    for field, value in message.ListFields():
        yield message, field
        if field.message_type is not None:
            for inner in value if _repeated(field) else (value,):
                yield from _fields(inner)


def _repeated(field: Any) -> bool:
    return bool(field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED)


def _change_field(message: Any, field: Any, rng: np.random.Generator, places: list[tuple[Any, Any]]) -> None:
    rule = int(rng.integers(8))
    if rule == 0:
        message.ClearField(field.name)
    elif _repeated(field):
        _change_list(getattr(message, field.name), field, rng, places)
    elif field.message_type is None:
        setattr(message, field.name, _value(field, getattr(message, field.name), rng, places))
    else:
        _replace(getattr(message, field.name), field, rng, places)


def _change_list(values: Any, field: Any, rng: np.random.Generator, places: list[tuple[Any, Any]]) -> None:
    if not len(values):
        return
    at = int(rng.integers(len(values)))
    rule = int(rng.integers(4))
    if rule == 0:
        del values[at]
    elif rule == 1:
        values.append(values[at])
    elif rule == 2 and field.message_type is not None:
        _replace(values[at], field, rng, places)
    elif field.message_type is None:
        values[at] = _value(field, values[at], rng, places)
    else:
        values.insert(0, values[at])


def _replace(value: Any, field: Any, rng: np.random.Generator, places: list[tuple[Any, Any]]) -> None:
    """Puts another message of the same type, from anywhere in the model, into the place of one."""
    same = [(m, f) for m, f in places if f.message_type is not None and f.message_type == field.message_type]
    message, other = _choice(same, rng)
    found = getattr(message, other.name)
    if _repeated(other) and not len(found):
        return
    copy = type(value)()
    copy.CopyFrom(_choice(found, rng) if _repeated(other) else found)
    value.CopyFrom(copy)


def _value(field: Any, old: Any, rng: np.random.Generator, places: list[tuple[Any, Any]]) -> Any:
    if field.type == field.TYPE_BYTES:
        return mutated_bytes(old, rng)
    if field.type == field.TYPE_STRING:
        texts = [getattr(m, f.name) for m, f in places if f.type == f.TYPE_STRING and not _repeated(f)]
        return _choice((*texts, *_TEXTS), rng)
    if field.type in (field.TYPE_FLOAT, field.TYPE_DOUBLE):
        return _choice(_NUMBERS, rng)
    if field.type == field.TYPE_ENUM:
        return int(_choice(field.enum_type.values, rng).number)
    low, high = (-(2**63), 2**63 - 1) if field.type == field.TYPE_INT64 else (-(2**31), 2**31 - 1)
    if field.type in (field.TYPE_UINT32, field.TYPE_UINT64):
        low = 0
    return min(max(int(_choice((*_INTEGERS, old + 1, old - 1), rng)), low), high)


def _change_document(document: Mapping[str, Any], rng: np.random.Generator) -> None:
    """Changes one entry somewhere in a JSON document."""
    places = [(box, key) for box, key in _entries(document)]
    box, key = _choice(places, rng)
    if isinstance(box, dict) and rng.integers(4) == 0:
        del box[key]
    else:
        plain: tuple[Any, ...] = (
            *_INTEGERS,
            *_TEXTS,
            1.5,
            1e300,
            float("nan"),
            None,
            True,
            [],
            {},
            [[]],
            {"a": 1},
        )
        box[key] = _choice(plain, rng)


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _entries(value[key])


def _changed_array(data: bytes, rng: np.random.Generator) -> bytes:
    """Returns a ``.npy`` file with one number changed, or with another header."""
    try:
        array = array_from(data, "member")
    except InputFileError:  # damaged by an earlier change
        return mutated_bytes(data, rng)
    if rng.integers(6) == 0:
        array = np.nan_to_num(array).astype(_choice(("<i4", "<i8", "<f8", "u1", ">i8"), rng))
    elif array.size and array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        flat = array.reshape(-1)
        at = int(rng.integers(array.size))
        value = int(_choice((*_INTEGERS, int(flat[at]) + 1, int(flat[at]) - 1, int(flat[at]) * 2), rng))
        flat[at] = min(max(value, int(info.min)), int(info.max))
    elif array.size:
        array.reshape(-1)[int(rng.integers(array.size))] = _choice(_NUMBERS, rng)
    if rng.integers(6) == 0:
        array = array[: int(rng.integers(len(array) + 1))] if array.ndim else array
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
