"""The durations inside a VITS model.

A VITS graph computes how many frames each input symbol lasts, rounded up by its only ``Ceil`` node, and keeps that to
itself. Where words lie in the audio follows from it, so the tensor is made an output of the graph, in memory.

No ONNX library is needed for that: a protobuf message followed by another of its type *is* the two merged (Protocol
Buffers, Encoding, “Last One Wins”), so a model with one more output is the model's bytes and then those of a model that
has that output alone. Only the tensor's name must be read out of the graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

# Field numbers of onnx.proto3.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_GRAPH_OUTPUT: Final = 12
_VALUE_NAME: Final = 1
_NODE_OUTPUT: Final = 2
_NODE_OP_TYPE: Final = 4

_LENGTH_DELIMITED: Final = 2
_FIXED_SIZES_BYTES: Final = {1: 8, 5: 4}
"""Wire types of fixed size."""


def with_durations(model: bytes) -> tuple[bytes, str]:
    """A VITS model of which the durations are an output, and that output's name.

    The output is ``float32, (1, 1, symbols)``: frames of each input symbol.

    Raises:
        ValueError: These bytes are no ONNX model with exactly one ``Ceil`` node.
    """
    try:
        graphs = [graph for number, graph in _fields(memoryview(model)) if number == _MODEL_GRAPH]
        fields = [field for graph in graphs for field in _fields(graph)]
        rounded = [
            name
            for number, node in fields
            if number == _GRAPH_NODE and _values(node, _NODE_OP_TYPE) == ["Ceil"]
            for name in _values(node, _NODE_OUTPUT)
        ]
        outputs = [name for number, value in fields if number == _GRAPH_OUTPUT for name in _values(value, _VALUE_NAME)]
    except IndexError:
        raise ValueError("not an ONNX model") from None
    if len(rounded) != 1:
        raise ValueError(f"a VITS graph has one Ceil node, this has {len(rounded)}")
    (name,) = rounded
    if name in outputs:
        return model, name
    output = _field(_GRAPH_OUTPUT, _field(_VALUE_NAME, name.encode()))
    return model + _field(_MODEL_GRAPH, output), name


def _values(message: memoryview, wanted: int) -> list[str]:
    """The texts of one field."""
    return [str(value, "utf-8") for number, value in _fields(message) if number == wanted]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Field numbers and contents of a message, without its plain numbers."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _LENGTH_DELIMITED:
            size, position = _varint(message, position)
            yield number, message[position : position + size]
            position += size
        elif wire_type == 0:
            _, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES_BYTES:
            position += _FIXED_SIZES_BYTES[wire_type]
        else:
            raise ValueError("not an ONNX model")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number of variable length at a position, and where it ends."""
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 (the bit that says there is more)
            return value, position
        shift += 7


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _encoded(number << 3 | _LENGTH_DELIMITED) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _encoded(high) if high else bytes([low])
