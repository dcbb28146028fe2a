from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engines.coqui.cloned_voices import (
    REFERENCE_RATE_HZ,
    Consent,
    add_voice,
    read_reference,
    read_voices,
    remove_voice,
    revoke_consent,
)
from schemas.errors import ErrorCode, SpeechError

SAMPLES = (0.3 * np.sin(np.arange(4 * REFERENCE_RATE_HZ) / 30)).astype(np.float32)
CONSENT = Consent(
    given_by="Ada King", given_at="2026-01-02", statement="I agree.", scope="phone menu", language="en-GB"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add_voice(tmp_path / "voices", "ada", SAMPLES, CONSENT)
    return tmp_path / "voices"


def deeds(folder: Path) -> list[tuple[str, str, str]]:
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text("utf-8").splitlines()]
    return [(line["deed"], line["voice"], line["given_by"]) for line in lines]


def code_of(folder: Path, name: str = "ada") -> ErrorCode:
    with pytest.raises(SpeechError) as raised:
        read_reference(folder, name)
    assert str(folder) not in raised.value.message
    return raised.value.code


def test_a_voice_with_consent_is_listed_and_heard(folder: Path) -> None:
    (voice,) = read_voices(folder, model="xtts-v2", sample_rate_hz=24_000)
    assert (voice.id, voice.language, voice.model) == ("ada", "en-GB", "xtts-v2")
    assert np.abs(read_reference(folder, "ada") - SAMPLES).max() < 1e-4


def test_no_more_is_kept_than_is_listened_to(tmp_path: Path) -> None:
    add_voice(tmp_path, "long", np.tile(SAMPLES, 10), CONSENT)
    assert len(read_reference(tmp_path, "long")) == 30 * REFERENCE_RATE_HZ


def test_a_recording_without_consent_is_neither_listed_nor_heard(folder: Path) -> None:
    (folder / "ada" / "consent.json").unlink()
    assert read_voices(folder, model="xtts-v2", sample_rate_hz=24_000) == ()
    assert code_of(folder) is ErrorCode.CONSENT_REQUIRED


def test_a_consent_holds_for_the_recording_it_was_given_for(folder: Path) -> None:
    add_voice(folder, "bob", SAMPLES[::-1].copy(), CONSENT)
    (folder / "bob" / "reference.wav").replace(folder / "ada" / "reference.wav")
    assert code_of(folder) is ErrorCode.CONSENT_REQUIRED


@pytest.mark.parametrize("field", ["given_by", "given_at", "statement", "scope", "language"])
def test_a_consent_says_who_when_what_and_for_what(folder: Path, field: str) -> None:
    path = folder / "ada" / "consent.json"
    consent = json.loads(path.read_text("utf-8"))
    consent[field] = ""
    path.write_text(json.dumps(consent), "utf-8")
    assert code_of(folder) is ErrorCode.CONSENT_REQUIRED


@pytest.mark.parametrize("name", ["..", "a/b", "", ".hidden", "nobody"])
def test_a_voice_that_is_not_there_is_unknown(folder: Path, name: str) -> None:
    assert code_of(folder, name) is ErrorCode.UNKNOWN_VOICE
    assert not remove_voice(folder, name)


@pytest.mark.parametrize(
    ("name", "seconds", "code"),
    [
        ("../up", 4, ErrorCode.INVALID_REQUEST),
        ("ada", 4, ErrorCode.INVALID_REQUEST),
        ("short", 2, ErrorCode.INVALID_AUDIO),
    ],
)
def test_what_cannot_be_a_voice_is_not_kept(folder: Path, name: str, seconds: int, code: ErrorCode) -> None:
    with pytest.raises(SpeechError) as raised:
        add_voice(folder, name, SAMPLES[: seconds * REFERENCE_RATE_HZ], CONSENT)
    assert raised.value.code is code
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["ada"]


def test_a_voice_that_is_deleted_leaves_nothing_but_that_it_was(folder: Path) -> None:
    assert remove_voice(folder, "ada")
    assert [path.name for path in folder.iterdir()] == ["audit.jsonl"]
    assert deeds(folder) == [("added", "ada", "Ada King"), ("deleted", "ada", "Ada King")]


def test_a_consent_that_is_taken_back_takes_the_recording_with_it(folder: Path) -> None:
    revoke_consent(folder, "ada")
    assert code_of(folder) is ErrorCode.CONSENT_REQUIRED
    assert read_voices(folder, model="xtts-v2", sample_rate_hz=24_000) == ()
    assert [path.name for path in (folder / "ada").iterdir()] == ["consent.json"]
    assert deeds(folder) == [("added", "ada", "Ada King"), ("revoked", "ada", "Ada King")]
    with pytest.raises(SpeechError) as raised:
        revoke_consent(folder, "ada")
    assert raised.value.code is ErrorCode.CONSENT_REQUIRED


def test_a_voice_can_be_one_tenants_alone(folder: Path) -> None:
    add_voice(folder, "bob", SAMPLES, msgspec.structs.replace(CONSENT, tenant="acme"))
    ada, bob = read_voices(folder, model="xtts-v2", sample_rate_hz=24_000)
    assert (ada.tenant, bob.tenant) == (None, "acme")
    assert ada.cloned


def test_without_a_folder_there_are_no_voices(tmp_path: Path) -> None:
    assert read_voices(tmp_path / "none", model="m", sample_rate_hz=1) == ()
