"""Recognition of a made-up target, whole and broken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest

from evals.asr.live import Streamed
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.report import Row, Section
from evals.targets.base import Heard, Search, Target
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess, Word
from server.evaluation import asr
from server.evaluation.area import Findings
from server.evaluation.asr import AsrWish, evaluate_asr
from server.settings import Settings

pytestmark = pytest.mark.anyio


@contextmanager
def track(_title: str, _steps: int) -> Generator[Callable[[int], None]]:
    def advance(done: int) -> None:
        pass

    yield advance


class FakeEar:
    """Hears "hello"; fails for some recordings, by what is asked of them."""

    identity = "fake ear"

    def __init__(self) -> None:
        self.no_language: set[bytes] = set()
        self.no_words: set[bytes] = set()
        self.tells_words = True
        self.asked_for_words = 0

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:
        self.asked_for_words += words
        if words and audio in self.no_words:
            raise SpeechError(ErrorCode.ENGINE_FAILED, "No words.")
        told = (Word("hello", 0.0, 0.1, 0.9),) if words and self.tells_words else ()
        return Heard(text="hello", language=language or "en", words=told, took_s=0.1)

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:
        if audio in self.no_language:
            raise SpeechError(ErrorCode.ENGINE_FAILED, "No language.")
        return LanguageGuess("en", 1.0)


def recording(number: int) -> bytes:
    return wav(np.random.default_rng(number).normal(0, 0.1, 4_000).astype(np.float32))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Four recordings."""
    lines: list[bytes] = []
    for number in range(4):
        (tmp_path / f"r{number}.wav").write_bytes(recording(number))
        lines.append(msgspec.json.encode({"file": f"r{number}.wav", "text": "hello", "language": "en"}))
    (tmp_path / "manifest.jsonl").write_bytes(b"\n".join(lines))
    return tmp_path


@pytest.fixture
def ear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEar:
    """Of the target that is opened, whatever was asked for."""
    ear = FakeEar()

    @asynccontextmanager
    async def opened(wish: AsrWish, _settings: Settings, *, search: Search) -> AsyncGenerator[Target]:  # noqa: ARG001
        async with httpx.AsyncClient() as http:
            yield Target(name=wish.target, transcribes=ear, antiphon=http)

    async def stream(_http: httpx.AsyncClient, utterance: Utterance) -> Streamed:
        return Streamed(text=utterance.text or "")

    monkeypatch.setattr(asr, "opened", opened)
    monkeypatch.setattr(asr, "stream", stream)
    monkeypatch.setattr(asr, "cache_dir", lambda: tmp_path / "cache")
    return ear


async def measured(corpus: Path, parallel: int = 2) -> Findings:
    wish = AsrWish(target="fake", out=corpus / "out", corpus=str(corpus), parallel=parallel)
    return await evaluate_asr(wish, Settings(), track)


def row(found: Findings, name: str) -> Row:
    [row] = [row for section in found.sections for row in section.rows if row.id == name]
    return row


def value(found: Findings, name: str) -> float | None:
    estimate = row(found, name).estimate
    return None if estimate is None else estimate.value


def section(found: Findings, name: str) -> Section:
    return next(section for section in found.sections if section.name == name)


@pytest.mark.usefixtures("ear")
async def test_a_recording_that_is_gone_is_a_failure_and_the_others_are_recognised(corpus: Path) -> None:
    (corpus / "r2.wav").unlink()
    (corpus / "r3.wav").write_bytes(b"no audio")  # which this target does not mind
    found = await measured(corpus)
    assert value(found, "asr.wer") == 0.0
    assert value(found, "asr.failed") == 3  # text and language of one, the text of the other
    assert row(found, "asr.failed").verdict == "missed"
    failed = {one.id: bool(one.error) for one in found.samples if one.area == "asr"}
    assert failed == {"r0": False, "r1": False, "r2": True, "r3": True}


async def test_a_language_that_was_asked_for_in_vain_is_a_wrong_one_and_a_failure(corpus: Path, ear: FakeEar) -> None:
    ear.no_language = {recording(1)}
    found = await measured(corpus)
    assert value(found, "asr.language") == 0.75
    assert value(found, "asr.failed") == 1
    assert row(found, "asr.failed").verdict == "missed"
    assert any("No language." in note for note in section(found, "asr").notes)


async def test_a_target_that_never_tells_a_language_fails_with_its_texts_reported(corpus: Path, ear: FakeEar) -> None:
    ear.no_language = {recording(number) for number in range(4)}
    found = await measured(corpus)
    assert value(found, "asr.wer") == 0.0
    assert value(found, "asr.language") == 0.0
    assert value(found, "asr.failed") == 4


async def test_probabilities_that_were_asked_for_in_vain_are_failures(corpus: Path, ear: FakeEar) -> None:
    ear.no_words = {recording(0), recording(3)}
    found = await measured(corpus)
    assert value(found, "asr.failed") == 2
    assert value(found, "asr.calibration") is not None


async def test_a_target_that_tells_no_probabilities_is_asked_once(corpus: Path, ear: FakeEar) -> None:
    ear.tells_words = False
    found = await measured(corpus)
    assert ear.asked_for_words == 1
    assert value(found, "asr.calibration") is None
    failed = row(found, "asr.failed").estimate
    assert failed is not None
    assert (failed.value, failed.n) == (0, 9)  # four texts, four languages, one more text


@pytest.mark.usefixtures("ear")
async def test_sessions_that_all_fail_are_failures_of_theirs_alone(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stream(_http: httpx.AsyncClient, _utterance: Utterance) -> Streamed:
        raise SpeechError(ErrorCode.INTERNAL, "The session's connection broke.")

    monkeypatch.setattr(asr, "stream", stream)
    found = await measured(corpus)
    assert value(found, "asr.wer") == 0.0
    assert value(found, "stream.failed") == 4
    assert row(found, "stream.failed").verdict == "missed"


@pytest.mark.usefixtures("ear")
async def test_what_is_of_an_earlier_run_is_told_of_recordings_and_of_sessions(corpus: Path) -> None:
    first, again = await measured(corpus), await measured(corpus)
    for found, is_told in ((first, False), (again, True)):
        for name in ("asr", "streaming"):
            assert any("earlier runs" in note for note in section(found, name).notes) is is_told


@pytest.mark.usefixtures("ear")
async def test_times_with_more_requests_at_once_are_measured_anew(corpus: Path) -> None:
    await measured(corpus)
    found = await measured(corpus, parallel=4)
    told = [note for note in section(found, "asr").notes if "earlier runs" in note]
    # Those of languages, which have no times.
    assert told == ["4 answers are of earlier runs of the same target, and so are their times."]
