"""A VITS model, cut in three: front, flow and decoder.

A VITS graph first finds out how many frames each symbol lasts and what is roughly in them (the latents), then a flow
makes the decoder's frames of these, and the decoder (a HiFi-GAN) samples of those. The first needs the whole sentence.
The other two are made of convolutions and can be run piece by piece, so that speech begins before all of it is made.
How long symbols last, which tells where words lie in the audio, the graph keeps to itself; here it becomes an output.

No ONNX library is needed for that. An ONNX file is a list of nodes and weights in the wire format of Protocol Buffers,
and each part is made of those it needs, copied as they are. Where to cut is found by what the nodes do, because names
differ between exports: a HiFi-GAN upsamples by transposed convolutions and has one plain convolution before the first;
what it takes is masked by multiplication; and the latents are where random noise is added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

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
_ATTRIBUTE_GRAPH: Final = 6
_FLOAT32: Final = b"\x08\x01"
"""A type of tensors of which field 1, the type of an element, is 1."""

_BETWEEN_CONVOLUTIONS: Final = frozenset({"ConvTranspose", "LeakyRelu", "Add"})
"""On the way back from the first transposed convolution to the plain one; ``Add`` where there are several speakers."""

_LENGTH_DELIMITED: Final = 2
_FIXED_SIZES_BYTES: Final = {1: 8, 5: 4}
"""Wire types of fixed size."""

SPEAKER: Final = "sid"
"""Input of a voice with several speakers; its decoder may want it too."""


class VitsParts(Struct, frozen=True, kw_only=True):
    """A voice as three ONNX models, or as fewer where there is no place to cut."""

    front: bytes
    """Takes the inputs of the voice, gives ``durations`` and ``latents``."""
    durations: str
    """Output of the front, ``float32, (1, 1, symbols)``: how many frames each input symbol lasts."""
    latents: str
    """Output of the front, ``float32, (1, channels, frames)``: what the flow takes. The same as ``frames`` if there is
    no flow, as ``audio`` if there is no decoder."""
    frames: str
    """Output of the flow and input of the decoder, of the same shape."""
    audio: str
    """The samples, ``float32``, the last of its axes."""
    flow: bytes | None = None
    flow_takes_speaker: bool = False
    mask: str | None = None
    """Another input of the flow, ``float32, (1, 1, frames)``: 1 for each frame of the sentence."""
    decoder: bytes | None = None
    decoder_takes_speaker: bool = False


def cut(model: bytes) -> VitsParts:
    """The parts of a VITS model.

    Raises:
        ValueError: These bytes are no ONNX model with one output and one ``Ceil`` node, by which VITS rounds durations.
    """
    try:
        graph = _Graph(memoryview(model))
    except IndexError:
        raise ValueError("not an ONNX model") from None
    rounded = [name for node in graph.nodes if node.op_type == "Ceil" for name in node.outputs]
    if len(rounded) != 1 or len(graph.outputs) != 1:
        raise ValueError(f"a VITS graph has one Ceil node and one output, not {len(rounded)} and {len(graph.outputs)}")
    (durations,), (audio,) = rounded, graph.outputs
    frames = graph.decoder_input()
    if frames is None or not (inputs := graph.inputs_of(audio, given={frames})) <= {SPEAKER}:
        return VitsParts(
            front=graph.part(audio, durations), durations=durations, latents=audio, frames=audio, audio=audio
        )
    parts = VitsParts(
        front=graph.part(frames, durations),
        durations=durations,
        latents=frames,
        frames=frames,
        audio=audio,
        decoder=graph.part(audio, given={frames}),
        decoder_takes_speaker=SPEAKER in inputs,
    )
    if (found := graph.flow_inputs(frames, durations)) is None:
        return parts
    latents, mask = found
    return replace(
        parts,
        front=graph.part(latents, durations),
        latents=latents,
        flow=graph.part(frames, given={latents, mask}),
        flow_takes_speaker=SPEAKER in graph.inputs_of(frames, given={latents, mask}),
        mask=mask,
    )


class _Node(Struct, frozen=True):
    op_type: str
    inputs: list[str]
    """Also what its inner graphs take."""
    outputs: list[str]
    field: memoryview
    """The node as it stands in the file."""


class _Graph:
    """The graph of a model, read as far as is needed to make models of its parts."""

    def __init__(self, model: memoryview) -> None:
        self.nodes: list[_Node] = []
        """Each comes after those whose outputs it takes; ONNX requires it."""
        self.outputs: list[str] = []
        self._inputs: dict[str, memoryview] = {}
        self._weights: dict[str, memoryview] = {}
        self._rest_of_model: list[memoryview] = []
        self._rest_of_graph: list[memoryview] = []
        """Versions, names and the like."""
        for number, content, field in _fields(model):
            if number == _MODEL_GRAPH:
                self._read(content)
            else:
                self._rest_of_model.append(field)

    def decoder_input(self) -> str | None:
        """The tensor that the convolution before the first transposed one takes; ``None`` without those."""
        producers = {name: node for node in self.nodes for name in node.outputs}
        node = next((node for node in self.nodes if node.op_type == "ConvTranspose"), None)
        while node is not None and node.op_type in _BETWEEN_CONVOLUTIONS:
            node = producers.get(node.inputs[0])
        return node.inputs[0] if node is not None and node.op_type == "Conv" else None

    def flow_inputs(self, frames: str, durations: str) -> tuple[str, str] | None:
        """The latents and the mask that these frames come from; ``None`` where they come from something else too."""
        before, _ = self._back_from([durations])
        noise = [name for node in self._back_from([frames])[0] if node not in before for name in _noise(node)]
        masked = next(node for node in self.nodes if frames in node.outputs)
        if len(noise) != 1 or masked.op_type != "Mul":
            return None
        latents = noise[0]
        while (node := next((node for node in self.nodes if latents in node.inputs), None)) is not None:
            (latents,) = node.outputs
            if node.op_type == "Add":
                break
            if node.op_type != "Mul":
                return None
        masks = {name for node in self.nodes if node.op_type == "Cast" for name in node.outputs}
        mask = next((name for name in masked.inputs if name in masks), None)
        if mask is None or not self.inputs_of(frames, given={latents, mask}) <= {SPEAKER}:
            return None
        return latents, mask

    def inputs_of(self, *outputs: str, given: Collection[str] = ()) -> set[str]:
        """The inputs of the model that these tensors come from, if others are given."""
        _, taken = self._back_from(outputs, given)
        return taken & self._inputs.keys()

    def part(self, *outputs: str, given: Collection[str] = ()) -> bytes:
        """A model with these outputs; it takes what this one takes, or ``given`` and what is wanted beside that."""
        nodes, taken = self._back_from(outputs, given)
        graph = [
            *self._rest_of_graph,
            *(node.field for node in nodes),
            *(field for name, field in self._weights.items() if name in taken),
            *(field for name, field in self._inputs.items() if not given or name in taken),
            *(_field(_GRAPH_INPUT, _float_tensor(name)) for name in sorted(given)),
            *(_field(_GRAPH_OUTPUT, _float_tensor(name)) for name in outputs),
        ]
        return b"".join([*self._rest_of_model, _field(_MODEL_GRAPH, b"".join(graph))])

    def _back_from(self, outputs: Iterable[str], given: Collection[str] = ()) -> tuple[list[_Node], set[str]]:
        """The nodes that some tensors come from, and the names of all that these take."""
        nodes: list[_Node] = []
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
                self.nodes.append(_Node("".join(op_type), _taken(content), outputs, field))
            elif number == _GRAPH_WEIGHT:
                self._weights.update((name, field) for name in _texts(content, _WEIGHT_NAME))
            elif number == _GRAPH_INPUT:
                self._inputs.update((name, field) for name in _texts(content, _VALUE_NAME))
            elif number == _GRAPH_OUTPUT:
                self.outputs += _texts(content, _VALUE_NAME)
            elif number != _GRAPH_VALUE:  # types of the tensors in between, which can be inferred
                self._rest_of_graph.append(field)


def _noise(node: _Node) -> list[str]:
    return node.outputs if node.op_type == "RandomNormalLike" else []


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
    return _field(_VALUE_NAME, name.encode()) + _field(_VALUE_TYPE, _field(_TYPE_TENSOR, _FLOAT32))


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


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return _encoded(number << 3 | _LENGTH_DELIMITED) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _encoded(high) if high else bytes([low])
