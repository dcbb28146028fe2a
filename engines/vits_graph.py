"""A VITS model, cut in three: front, flow and decoder.

A VITS graph first finds out how many frames each symbol lasts and what is roughly in them (the latents), then a flow
makes the decoder's frames of these, and the decoder (a HiFi-GAN) samples of those. The first needs the whole sentence.
The other two are made of convolutions and can be run piece by piece, so that speech begins before all of it is made.
How long symbols last, which tells where words lie in the audio, the graph keeps to itself; here it becomes an output.

Where to cut is found by what the nodes do, because names
differ between exports: a HiFi-GAN upsamples by transposed convolutions and has one plain convolution before the first;
what it takes is masked by multiplication; and the latents are where random noise is added.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from engines.onnx_graph import Node, OnnxGraph

_BETWEEN_CONVOLUTIONS: Final = frozenset({"ConvTranspose", "LeakyRelu", "Add"})
"""On the way back from the first transposed convolution to the plain one; ``Add`` where there are several speakers."""

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
    graph = OnnxGraph(model)
    rounded = [name for node in graph.nodes if node.op_type == "Ceil" for name in node.outputs]
    if len(rounded) != 1 or len(graph.outputs) != 1:
        raise ValueError(f"a VITS graph has one Ceil node and one output, not {len(rounded)} and {len(graph.outputs)}")
    (durations,), (audio,) = rounded, graph.outputs
    frames = _decoder_input(graph)
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
    if (found := _flow_inputs(graph, frames, durations)) is None:
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


def _decoder_input(graph: OnnxGraph) -> str | None:
    """The tensor that the convolution before the first transposed one takes; ``None`` without those."""
    producers = {name: node for node in graph.nodes for name in node.outputs}
    node = next((node for node in graph.nodes if node.op_type == "ConvTranspose"), None)
    while node is not None and node.op_type in _BETWEEN_CONVOLUTIONS:
        node = producers.get(node.inputs[0])
    return node.inputs[0] if node is not None and node.op_type == "Conv" else None


def _flow_inputs(graph: OnnxGraph, frames: str, durations: str) -> tuple[str, str] | None:
    """The latents and the mask that these frames come from; ``None`` where they come from something else too."""
    before, _ = graph.back_from([durations])
    noise = [name for node in graph.back_from([frames])[0] if node not in before for name in _noise(node)]
    masked = next(node for node in graph.nodes if frames in node.outputs)
    if len(noise) != 1 or masked.op_type != "Mul":
        return None
    latents = noise[0]
    while (node := next((node for node in graph.nodes if latents in node.inputs), None)) is not None:
        (latents,) = node.outputs
        if node.op_type == "Add":
            break
        if node.op_type != "Mul":
            return None
    masks = {name for node in graph.nodes if node.op_type == "Cast" for name in node.outputs}
    mask = next((name for name in masked.inputs if name in masks), None)
    if mask is None or not graph.inputs_of(frames, given={latents, mask}) <= {SPEAKER}:
        return None
    return latents, mask


def _noise(node: Node) -> list[str]:
    return node.outputs if node.op_type == "RandomNormalLike" else []
