from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.models.catalog import ModelFile
from engines.models.weights import OriginError, is_intact, write_checked


def file_of(data: bytes) -> ModelFile:
    return ModelFile("data/model.bin", hashlib.sha256(data).hexdigest(), len(data))


@given(st.lists(st.binary(max_size=50)))
def test_the_right_bytes_are_written_however_they_arrive(chunks: list[bytes]) -> None:
    data = b"".join(chunks)
    with tempfile.TemporaryDirectory() as folder:
        write_checked(file_of(data), chunks, Path(folder))
        assert (Path(folder) / "data/model.bin").read_bytes() == data
        assert is_intact(file_of(data), Path(folder))


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_other_bytes_are_refused_and_leave_nothing(data: bytes, other: bytes) -> None:
    if data == other:
        return
    with tempfile.TemporaryDirectory() as folder:
        with pytest.raises(OriginError):
            write_checked(file_of(data), [other], Path(folder))
        assert not (Path(folder) / "data/model.bin").exists()


def test_a_stream_without_end_is_cut_off_at_the_stated_size(tmp_path: Path) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 10

    with pytest.raises(OriginError, match="larger than the 25 bytes"):
        write_checked(file_of(b"x" * 25), endless(), tmp_path)
    assert taken == 3
