"""The network of a VITS voice in three parts, whatever library computes them: ONNX Runtime here, torch with Coqui."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Struct
from numpy.typing import NDArray

from engines.onnx_session import OnnxSession
from engines.vits_graph import cut


class NetworkPart(Protocol):
    """A function of arrays; may be called from several threads at once."""

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """The named outputs for these inputs."""
        ...


class VitsNetwork(Struct, frozen=True, kw_only=True):
    """The parts of a voice, ready to run; names and shapes are those of :class:`engines.vits_graph.VitsParts`."""

    front: NetworkPart
    durations: str
    latents: str
    frames: str
    audio: str
    flow: NetworkPart | None = None
    flow_takes_speaker: bool = False
    mask: str | None = None
    decoder: NetworkPart | None = None
    decoder_takes_speaker: bool = False


def open_graph(model: bytes, *, threads: int) -> VitsNetwork:
    """The network of an ONNX file.

    Args:
        model: The file.
        threads: Threads one call computes with.

    Raises:
        ValueError: These bytes are no VITS graph.
    """
    parts = cut(model)
    session = partial(OnnxSession, threads=threads)
    return VitsNetwork(
        front=session(parts.front),
        durations=parts.durations,
        latents=parts.latents,
        frames=parts.frames,
        audio=parts.audio,
        flow=None if parts.flow is None else session(parts.flow),
        flow_takes_speaker=parts.flow_takes_speaker,
        mask=parts.mask,
        decoder=None if parts.decoder is None else session(parts.decoder),
        decoder_takes_speaker=parts.decoder_takes_speaker,
    )
