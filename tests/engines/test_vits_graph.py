from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.vits_graph import with_durations


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([number << 3 | 2, len(content)]) + content


def node(op_type: str, output: str) -> bytes:
    return field(1, field(1, b"x") + field(2, output.encode()) + field(3, b"n") + field(4, op_type.encode()))


def output(name: str) -> bytes:
    return field(12, field(1, name.encode()))


def model(*graph: bytes) -> bytes:
    ir_version = bytes([1 << 3, 8])
    return ir_version + field(7, b"".join(graph)) + field(8, bytes([2 << 3, 15]))


def test_the_rounded_durations_become_an_output_after_the_others() -> None:
    before = model(node("Mul", "a"), node("Ceil", "durations"), output("audio"))
    after, name = with_durations(before)
    assert name == "durations"
    assert after == before + field(7, output("durations"))


def test_a_graph_that_gives_them_already_is_left_as_it_is() -> None:
    once, name = with_durations(model(node("Ceil", "durations"), output("audio")))
    assert with_durations(once) == (once, name)


@pytest.mark.parametrize("nodes", [[], ["Mul"], ["Ceil", "Ceil"]])
def test_another_graph_is_refused(nodes: list[str]) -> None:
    with pytest.raises(ValueError, match="one Ceil node"):
        with_durations(model(*(node(op_type, f"o{number}") for number, op_type in enumerate(nodes))))


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        with_durations(data)
