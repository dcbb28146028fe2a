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
    halves = cut(VOICE)
    assert (halves.durations, halves.frames, halves.audio) == ("lengths", "z", "audio")
    assert halves.front == made(
        field(2, b"graph"),
        *ENCODER,
        weight("encoder.w"),
        weight("one"),
        declared(11, "input"),
        float_tensor(12, "z"),
        float_tensor(12, "lengths"),
    )


def test_the_decoder_goes_on_from_there_with_its_own_weights_and_shared_ones() -> None:
    halves = cut(VOICE)
    assert not halves.decoder_takes_speaker
    assert halves.decoder == made(
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
    halves = cut(
        model(*ENCODER, speaker, *before, *UPSAMPLING, *WEIGHTS, weight("speakers.w"), declared(11, "sid"), *ENDS)
    )
    assert halves.frames == "z"
    assert halves.decoder_takes_speaker
    assert halves.decoder == made(
        speaker,
        *before,
        *UPSAMPLING,
        *WEIGHTS[1:],
        weight("speakers.w"),
        declared(11, "sid"),
        float_tensor(11, "z"),
        float_tensor(12, "audio"),
    )


def test_what_a_branch_takes_from_outside_goes_along() -> None:
    branch = node("If", "c", "audio", inner=node("Mul", "c inner.w", "d") + declared(12, "d"))
    weights = [*WEIGHTS, weight("inner.w")]
    halves = cut(model(*ENCODER, *BEFORE_UPSAMPLING, UPSAMPLING[0], branch, *weights, *ENDS))
    assert halves.decoder is not None
    assert weight("inner.w") in halves.decoder
    assert weight("inner.w") not in halves.front


@pytest.mark.parametrize(
    "decoder",
    [
        pytest.param([node("Mul", "z one", "audio")], id="no upsampling"),
        pytest.param([node("ConvTranspose", "z up.w", "audio")], id="no convolution before it"),
        pytest.param([*BEFORE_UPSAMPLING, UPSAMPLING[0], node("Mul", "c hidden", "audio")], id="a way around the cut"),
    ],
)
def test_a_voice_that_cannot_be_cut_stays_whole(decoder: list[bytes]) -> None:
    halves = cut(model(*ENCODER, *decoder, *WEIGHTS, *ENDS))
    assert halves.decoder is None
    assert halves.frames == halves.audio == "audio"
    assert float_tensor(12, "audio") + float_tensor(12, "lengths") in halves.front


@pytest.mark.parametrize("nodes", [[], ["Mul"], ["Ceil", "Ceil"]])
def test_another_graph_is_refused(nodes: list[str]) -> None:
    graph = [node(op_type, "x", f"o{number}") for number, op_type in enumerate(nodes)]
    with pytest.raises(ValueError, match="one Ceil node"):
        cut(model(*graph, *ENDS))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        cut(data)
