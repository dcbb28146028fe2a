from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.vits_graph import cut


def field(number: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])
    return bytes([number << 3 | 2]) + length + content


def node(op_type: str, inputs: str, output: str, *, inner: bytes = b"") -> bytes:
    taken = b"".join(field(1, name.encode()) for name in inputs.split())
    attribute = field(5, field(1, b"then_branch") + field(6, inner)) if inner else b""
    return field(1, taken + field(2, output.encode()) + field(3, b"n") + field(4, op_type.encode()) + attribute)


def weight(name: str) -> bytes:
    return field(5, bytes([2 << 3, 1]) + field(8, name.encode()))


def declared(number: int, name: str) -> bytes:
    return field(number, field(1, name.encode()))


def float_tensor(number: int, name: str) -> bytes:
    return field(number, field(1, name.encode()) + field(2, field(1, b"\x08\x01")))


VERSIONS = bytes([1 << 3, 8]), field(8, bytes([2 << 3, 15]))


def model(*graph: bytes) -> bytes:
    ir_version, opset = VERSIONS
    return ir_version + field(7, b"".join(graph)) + opset


def made(*graph: bytes) -> bytes:
    return b"".join(VERSIONS) + field(7, b"".join(graph))


ENCODER = node("Conv", "input encoder.w", "hidden"), node("Ceil", "hidden", "lengths"), node("Mul", "hidden one", "z")
BEFORE_UPSAMPLING = node("Conv", "z before.w", "a"), node("LeakyRelu", "a", "b")
UPSAMPLING = node("ConvTranspose", "b up.w", "c"), node("Mul", "c one", "audio")
WEIGHTS = [weight(name) for name in ("encoder.w", "one", "before.w", "up.w")]
ENDS = declared(11, "input"), declared(12, "audio"), declared(13, "a")
VOICE = model(field(2, b"graph"), *ENCODER, *BEFORE_UPSAMPLING, *UPSAMPLING, *WEIGHTS, *ENDS)


def test_the_front_ends_where_the_convolution_before_the_upsampling_begins() -> None:
    parts = cut(VOICE)
    assert (parts.durations, parts.latents, parts.frames, parts.audio) == ("lengths", "z", "z", "audio")
    assert parts.flow is None
    assert parts.front == made(
        field(2, b"graph"),
        *ENCODER,
        weight("encoder.w"),
        weight("one"),
        declared(11, "input"),
        float_tensor(12, "z"),
        float_tensor(12, "lengths"),
    )


def test_the_decoder_goes_on_from_there_with_its_own_weights_and_shared_ones() -> None:
    parts = cut(VOICE)
    assert not parts.decoder_takes_speaker
    assert parts.decoder == made(
        field(2, b"graph"),
        *BEFORE_UPSAMPLING,
        *UPSAMPLING,
        weight("one"),
        weight("before.w"),
        weight("up.w"),
        float_tensor(11, "z"),
        float_tensor(12, "audio"),
    )


def test_a_decoder_that_is_told_the_speaker_keeps_that_input() -> None:
    speaker = node("Gather", "speakers.w sid", "who")
    before = node("Conv", "z before.w", "a"), node("Add", "a who", "b")
    parts = cut(
        model(*ENCODER, speaker, *before, *UPSAMPLING, *WEIGHTS, weight("speakers.w"), declared(11, "sid"), *ENDS)
    )
    assert parts.frames == "z"
    assert parts.decoder_takes_speaker
    assert parts.decoder == made(
        speaker,
        *before,
        *UPSAMPLING,
        *WEIGHTS[1:],
        weight("speakers.w"),
        declared(11, "sid"),
        float_tensor(11, "z"),
        float_tensor(12, "audio"),
    )


FRONT = (
    node("Conv", "input encoder.w", "hidden"),
    node("RandomNormalLike", "hidden", "guess"),
    node("Mul", "hidden guess", "guessed"),
    node("Ceil", "guessed", "lengths"),
    node("Cast", "lengths", "mask"),
    node("RandomNormalLike", "hidden", "noise"),
    node("Mul", "noise one", "loud"),
    node("Add", "hidden loud", "latents"),
)
FLOW = node("Conv", "latents flow.w", "e"), node("Mul", "e mask", "f"), node("Sub", "f latents", "g")
MASKED = node("Mul", "g mask", "z")
FLOW_WEIGHTS = [*WEIGHTS, weight("flow.w")]


@pytest.mark.parametrize("masked", [MASKED, node("Mul", "mask g", "z")])
def test_the_flow_begins_where_noise_is_added(masked: bytes) -> None:
    parts = cut(model(*FRONT, *FLOW, masked, *BEFORE_UPSAMPLING, *UPSAMPLING, *FLOW_WEIGHTS, *ENDS))
    assert (parts.latents, parts.mask, parts.frames, parts.audio) == ("latents", "mask", "z", "audio")
    assert parts.flow == made(
        *FLOW,
        masked,
        weight("flow.w"),
        float_tensor(11, "latents"),
        float_tensor(11, "mask"),
        float_tensor(12, "z"),
    )
    assert float_tensor(12, "latents") + float_tensor(12, "lengths") in parts.front
    assert weight("flow.w") not in parts.front
    assert parts.decoder is not None
    assert weight("flow.w") not in parts.decoder
    assert not parts.flow_takes_speaker


def test_a_flow_that_is_told_the_speaker_keeps_that_input() -> None:
    speaker = node("Gather", "speakers.w sid", "who"), node("Conv", "latents flow.w", "d"), node("Add", "d who", "e")
    nodes = *FRONT, *speaker, *FLOW[1:], MASKED, *BEFORE_UPSAMPLING, *UPSAMPLING
    parts = cut(model(*nodes, *FLOW_WEIGHTS, weight("speakers.w"), declared(11, "sid"), *ENDS))
    assert parts.flow is not None
    assert parts.flow_takes_speaker
    assert not parts.decoder_takes_speaker


@pytest.mark.parametrize(
    ("front", "flow"),
    [
        pytest.param((*FRONT[:-1], node("Sub", "hidden loud", "latents")), (*FLOW, MASKED), id="noise is not added"),
        pytest.param(FRONT, (*FLOW, node("Add", "g mask", "z")), id="frames are not masked"),
        pytest.param(FRONT, (*FLOW, node("Mul", "g hidden", "z")), id="frames are masked with something else"),
        pytest.param(
            FRONT, (*FLOW, node("Mul", "g f", "z")), id="frames are multiplied with what comes from the noise"
        ),
    ],
)
def test_a_flow_that_cannot_be_told_stays_in_front(front: tuple[bytes, ...], flow: tuple[bytes, ...]) -> None:
    parts = cut(model(*front, *flow, *BEFORE_UPSAMPLING, *UPSAMPLING, *FLOW_WEIGHTS, *ENDS))
    assert parts.flow is None
    assert parts.latents == parts.frames == "z"
    assert weight("flow.w") in parts.front


def test_what_a_branch_takes_from_outside_goes_along() -> None:
    branch = node("If", "c", "audio", inner=node("Mul", "c inner.w", "d") + declared(12, "d"))
    weights = [*WEIGHTS, weight("inner.w")]
    parts = cut(model(*ENCODER, *BEFORE_UPSAMPLING, UPSAMPLING[0], branch, *weights, *ENDS))
    assert parts.decoder is not None
    assert weight("inner.w") in parts.decoder
    assert weight("inner.w") not in parts.front


@pytest.mark.parametrize(
    "decoder",
    [
        pytest.param([node("Mul", "z one", "audio")], id="no upsampling"),
        pytest.param([node("ConvTranspose", "z up.w", "audio")], id="no convolution before it"),
        pytest.param([*BEFORE_UPSAMPLING, UPSAMPLING[0], node("Mul", "c hidden", "audio")], id="a way around the cut"),
    ],
)
def test_a_voice_that_cannot_be_cut_stays_whole(decoder: list[bytes]) -> None:
    parts = cut(model(*ENCODER, *decoder, *WEIGHTS, *ENDS))
    assert parts.decoder is None
    assert parts.frames == parts.audio == "audio"
    assert float_tensor(12, "audio") + float_tensor(12, "lengths") in parts.front


@pytest.mark.parametrize("nodes", [[], ["Mul"], ["Ceil", "Ceil"]])
def test_another_graph_is_refused(nodes: list[str]) -> None:
    graph = [node(op_type, "x", f"o{number}") for number, op_type in enumerate(nodes)]
    with pytest.raises(ValueError, match="one Ceil node"):
        cut(model(*graph, *ENDS))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        cut(data)
