"""An ONNX model, taken apart and put together anew: parts of it, with inner values as inputs and outputs.

No ONNX library is needed for that. An ONNX file is a list of nodes and weights in the wire format of Protocol Buffers,
and a part is made of those it needs, copied as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# Field numbers of onnx.proto3.
_MODEL_GRAPH: Final = 7
_GRAPH_NODE: Final = 1
_GRAPH_WEIGHT: Final = 5
_GRAPH_INPUT: Final = 11
_GRAPH_OUTPUT: Final = 12
_GRAPH_VALUE: Final = 13
_VALUE_NAME: Final = 1
_VALUE_TYPE: Final = 2
_TYPE_TENSOR: Final = 1
_WEIGHT_NAME: Final = 8
_NODE_INPUT: Final = 1
_NODE_OUTPUT: Final = 2
_NODE_OP_TYPE: Final = 4
_NODE_ATTRIBUTE: Final = 5
_ATTRIBUTE_TENSOR: Final = 5
_ATTRIBUTE_GRAPH: Final = 6
_TENSOR_RAW: Final = 9
_FLOAT32: Final = b"\x08\x01"
"""A type of tensors of which field 1, the type of an element, is 1."""

_TENSOR_FLOAT32: Final = b"\x10\x01"
"""A tensor of which field 2, the type of its elements, is 1."""

_LENGTH_DELIMITED: Final = 2
_FIXED_SIZES_BYTES: Final = {1: 8, 5: 4}
"""Wire types of fixed size."""


class Node(Struct, frozen=True):
    """A step of the graph."""

    op_type: str
    inputs: list[str]
    """Also what its inner graphs take."""
    outputs: list[str]
    field: memoryview
    """The node as it stands in the file."""


class OnnxGraph:
    """The graph of a model, read as far as is needed to make models of its parts.

    Args:
        model: The file.

    Raises:
        ValueError: These bytes are no ONNX model.
    """

    def __init__(self, model: bytes) -> None:
        self.nodes: list[Node] = []
        """Each comes after those whose outputs it takes; ONNX requires it."""
        self.outputs: list[str] = []
        self._inputs: dict[str, memoryview] = {}
        self._weights: dict[str, memoryview] = {}
        self._rest_of_model: list[memoryview] = []
        self._rest_of_graph: list[memoryview] = []
        """Versions, names and the like."""
        try:
            for number, content, field in _fields(memoryview(model)):
                if number == _MODEL_GRAPH:
                    self._read(content)
                else:
                    self._rest_of_model.append(field)
        except IndexError:
            raise ValueError("not an ONNX model") from None

    def inputs_of(self, *outputs: str, given: Collection[str] = ()) -> set[str]:
        """The inputs of the model that these tensors come from, if others are given."""
        _, taken = self.back_from(outputs, given)
        return taken & self._inputs.keys()

    def part(self, *outputs: str, given: Collection[str] = ()) -> bytes:
        """A model with these outputs; it takes what this one takes, or ``given`` and what is wanted beside that."""
        nodes, taken = self.back_from(outputs, given)
        graph = [
            *self._rest_of_graph,
            *(node.field for node in nodes),
            *(field for name, field in self._weights.items() if name in taken),
            *(field for name, field in self._inputs.items() if not given or name in taken),
            *(encode_field(_GRAPH_INPUT, _float_tensor(name)) for name in sorted(given)),
            *(encode_field(_GRAPH_OUTPUT, _float_tensor(name)) for name in outputs),
        ]
        return b"".join([*self._rest_of_model, encode_field(_MODEL_GRAPH, b"".join(graph))])

    def back_from(self, outputs: Iterable[str], given: Collection[str] = ()) -> tuple[list[Node], set[str]]:
        """The nodes that some tensors come from, and the names of all that these take."""
        nodes: list[Node] = []
        taken = set(outputs)
        for node in reversed(self.nodes):
            if not taken.isdisjoint(node.outputs):
                nodes.append(node)
                taken.update(name for name in node.inputs if name not in given)
        return nodes[::-1], taken

    def _read(self, graph: memoryview) -> None:
        for number, content, field in _fields(graph):
            if number == _GRAPH_NODE:
                op_type, outputs = _texts(content, _NODE_OP_TYPE), _texts(content, _NODE_OUTPUT)
                self.nodes.append(Node("".join(op_type), _taken(content), outputs, field))
            elif number == _GRAPH_WEIGHT:
                self._weights.update((name, field) for name in _texts(content, _WEIGHT_NAME))
            elif number == _GRAPH_INPUT:
                self._inputs.update((name, field) for name in _texts(content, _VALUE_NAME))
            elif number == _GRAPH_OUTPUT:
                self.outputs += _texts(content, _VALUE_NAME)
            elif number != _GRAPH_VALUE:  # types of the tensors in between, which can be inferred
                self._rest_of_graph.append(field)


def constants(model: bytes) -> dict[str, NDArray[np.float32]]:
    """What the nodes ``Constant`` hold, by the names of their outputs; those of inner graphs, too.

    The values are ``float32, (n,)``, whatever their shape; what is not of that type is left out.

    Raises:
        ValueError: These bytes are no ONNX model.
    """
    try:
        return dict(found for graph in _messages(memoryview(model), _MODEL_GRAPH) for found in _constants(graph))
    except IndexError:
        raise ValueError("not an ONNX model") from None


def _constants(graph: memoryview) -> Iterator[tuple[str, NDArray[np.float32]]]:
    for node in _messages(graph, _GRAPH_NODE):
        for attribute in _messages(node, _NODE_ATTRIBUTE):
            for tensor in _messages(attribute, _ATTRIBUTE_TENSOR):
                if any(bytes(field) == _TENSOR_FLOAT32 for _, _, field in _fields(tensor)):
                    (name,) = _texts(node, _NODE_OUTPUT)
                    yield name, np.frombuffer(b"".join(_messages(tensor, _TENSOR_RAW)), "<f4")
            for inner in _messages(attribute, _ATTRIBUTE_GRAPH):
                yield from _constants(inner)


def _taken(node: memoryview) -> list[str]:
    """Names of the tensors a node takes, with those that its inner graphs (of an ``If``, say) take."""
    names = _texts(node, _NODE_INPUT)
    for attribute in _messages(node, _NODE_ATTRIBUTE):
        for graph in _messages(attribute, _ATTRIBUTE_GRAPH):
            for inner in _messages(graph, _GRAPH_NODE):
                names += _taken(inner)
    return names


def _float_tensor(name: str) -> bytes:
    """The declaration of an input or output."""
    return encode_field(_VALUE_NAME, name.encode()) + encode_field(_VALUE_TYPE, encode_field(_TYPE_TENSOR, _FLOAT32))


def _texts(message: memoryview, wanted: int) -> list[str]:
    return [str(content, "utf-8") for content in _messages(message, wanted)]


def _messages(message: memoryview, wanted: int) -> list[memoryview]:
    return [content for number, content, _ in _fields(message) if number == wanted]


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Numbers of the fields of a message, their contents, which plain numbers lack, and the fields as they stand."""
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        number, wire_type = key >> 3, key & 7
        content = message[:0]
        if wire_type == _LENGTH_DELIMITED:
            size, position = _varint(message, position)
            content = message[position : position + size]
            position += size
        elif wire_type == 0:
            _, position = _varint(message, position)
        elif wire_type in _FIXED_SIZES_BYTES:
            position += _FIXED_SIZES_BYTES[wire_type]
        else:
            raise ValueError("not an ONNX model")
        yield number, content, message[start:position]


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


def encode_field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a message of Protocol Buffers."""
    return _encoded(number << 3 | _LENGTH_DELIMITED) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _encoded(high) if high else bytes([low])
