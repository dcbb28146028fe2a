from __future__ import annotations

import re
from collections import Counter

import msgspec
import pytest

from engines.models.catalog import Catalog, HuggingFaceOrigin, ModelFile, NpmOrigin, PyPiOrigin
from schemas.errors import ErrorCode, SpeechError
from schemas.models import ModelKind

A_HASH = "0" * 64


def test_the_models_that_others_name_are_there() -> None:
    names = {entry.name for entry in Catalog.load()}
    assert names >= {
        "whisper-base",
        "whisper-tiny.en",
        "piper-en_US-joe-medium",
        "silero-vad-v6",
        "smart-turn-v3.2",
        "kokoro-82m-v1.0-int8",
    }


def test_each_kind_has_one_default() -> None:
    catalog = Catalog.load()
    defaults = Counter(entry.kind for entry in catalog if entry.default)
    assert defaults == dict.fromkeys(ModelKind, 1)
    assert catalog.default(ModelKind.ASR).name == "whisper-base"
    assert catalog.default(ModelKind.TTS).name == "piper-en_US-joe-medium"


def test_each_file_of_each_model_has_an_origin() -> None:
    for entry in Catalog.load():
        for file in entry.files:
            assert any(origin.covers(file.path) for origin in entry.origins), (entry.name, file.path)


def test_packages_are_pinned() -> None:
    for entry in Catalog.load():
        for origin in entry.origins:
            match origin:
                case PyPiOrigin():
                    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", package) for package in origin.packages)
                case NpmOrigin():
                    assert re.fullmatch(r"[a-z0-9-]+@[0-9.]+", origin.package)
                case HuggingFaceOrigin():
                    assert origin.revision


def test_a_file_is_found_in_its_origin_by_folder_or_by_its_parts() -> None:
    origin = PyPiOrigin(packages=("a==1",), download_bytes=1, folder="a/data/", parts={"big": ("a/big.1", "a/big.2")})
    assert origin.members("small") == ("a/data/small",)
    assert origin.members("big") == ("a/big.1", "a/big.2")


def test_an_origin_covers_only_what_its_patterns_match() -> None:
    origin = NpmOrigin(package="a@1", download_bytes=1, files=("voices/*",))
    assert origin.covers("voices/anna.bin")
    assert not origin.covers("model.onnx")


def test_an_unknown_model_is_answered_with_near_names() -> None:
    with pytest.raises(SpeechError, match="whisper-base") as caught:
        Catalog.load()["whisper-bse"]
    assert caught.value.code is ErrorCode.UNKNOWN_MODEL


def test_a_name_like_no_other_is_answered_with_all_names() -> None:
    with pytest.raises(SpeechError, match=r"There are whisper-base, .*kokoro"):
        Catalog.load()["qqq"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../other/model.bin", "a/../../b", ".verified.json"])
def test_a_file_outside_the_models_folder_cannot_be_named(path: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="must lie in the model's folder"):
        msgspec.convert({"path": path, "sha256": A_HASH, "size_bytes": 1}, ModelFile)
