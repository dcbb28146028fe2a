"""A run with a target that speaks in ones and zeros, and a recogniser that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from evals.cache import Cache
from evals.corpora.utterance import Utterance
from evals.decoding import decode, wav
from evals.page import page
from evals.report import Conditions, Report, Row
from evals.runner import Failure, Runner
from evals.targets.base import Heard, Spoken
from evals.tts import figures
from evals.tts.figures import Opinions
from evals.tts.measure import Reading, listen_all, speak_all, tasks
from evals.tts.opinions import Likeness, Scores, likeness, mean_opinion
from evals.tts.section import section
from evals.tts.texts import Sentence
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess

pytestmark = pytest.mark.anyio

_BIT = 16
"""Samples a bit: coarse enough to come through 16-bit files unharmed."""
NO_LIKENESS = Likeness(missing="pip install resemblyzer")


def as_sound(text: str) -> Samples:
    bits = np.unpackbits(np.frombuffer(text.encode(), np.uint8)).astype(np.float32)
    return np.repeat(bits - 0.5, _BIT)


def as_text(samples: Samples) -> str:
    bits = samples[_BIT // 2 :: _BIT] > 0
    return np.packbits(bits).tobytes().decode(errors="replace")


class FakeVoice:
    """Speaks text as bits. Says "x" for a zero, swallows "salmon", refuses "refused", stammers on "stammer"."""

    identity = "fake voice"

    def __init__(self) -> None:
        self.said: list[str] = []

    async def voices(self, language: str) -> tuple[str, ...]:
        return {"en": ("joe",), "es": ("ana",)}.get(language, ())

    async def speak(self, text: str, *, voice: str | None, language: str) -> Spoken:  # noqa: ARG002  the Protocol's
        self.said.append(text)
        if "refused" in text:
            raise SpeechError(ErrorCode.ENGINE_FAILED, "It would not.")
        samples = as_sound(text.replace("0", "x").replace("salmon ", ""))
        if "loud" in text:
            samples = samples * 2
        audio_s = len(samples) / SESSION_RATE_HZ
        late = 0.5 if "stammer" in text else 0.0
        arrivals = ((0.1, audio_s / 2), (0.1 + audio_s / 2 + late, audio_s))
        return Spoken(samples=samples, rate_hz=SESSION_RATE_HZ, arrivals=arrivals)


class FakeEar:
    """Reads bits."""

    identity = "fake ear"

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:  # noqa: ARG002  the Protocol's
        return Heard(text=as_text(decode(audio)))

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:  # noqa: ARG002  the Protocol's
        return None


def utterance(name: str, text: str) -> Utterance:
    return Utterance(id=name, audio=wav(as_sound(text)), text=text, language="en", speaker="ann")


READ = (utterance("clean", "Rice is often served in bowls"), utterance("lossy", "A rod catches salmon and pink trout"))
DIFFICULT = {
    "en": (
        Sentence("There are 21 doors and a stammer.", ("21 doors",), "number"),
        Sentence("It is loud at 10 in Rome.", ("10 in rome",), "date"),
        Sentence("This is refused by all 3.", ("all 3",), "unit"),
    )
}


async def run(folder: Path, voice: FakeVoice) -> list[Reading]:
    planned = tasks({"en": "joe"}, READ, lambda language: DIFFICULT[language], None)
    spoken = await speak_all(planned, voice, Runner(Cache(folder), 1), lambda: None)
    return await listen_all(planned, spoken, FakeEar(), Runner(Cache(folder), 2), lambda: None)


def by_id(rows: list[Row]) -> dict[str, Row]:
    return {row.id: row for row in rows}


def value(row: Row) -> float:
    assert row.estimate is not None
    return row.estimate.value


def opinions(readings: list[Reading]) -> Opinions:
    return Opinions(
        dnsmos=mean_opinion(lambda: lambda samples: float(np.mean(samples > 0)), readings, lambda: None),
        distillmos=Scores(missing="pip install distillmos"),
        likeness=NO_LIKENESS,
    )


async def test_what_is_lost_misread_late_clipped_and_refused_is_found(tmp_path: Path) -> None:
    readings = await run(tmp_path, FakeVoice())
    rows = by_id(figures.rows(readings, opinions(readings), "fake ear"))
    assert value(rows["tts.wer"]) == pytest.approx(1 / 13)
    floor, more = rows["tts.wer"].beside.values()
    assert floor is not None
    assert floor.value == 0
    assert more is not None
    assert more.value == pytest.approx(1 / 13)
    assert value(rows["tts.misread"]) == pytest.approx(1 / 2)  # 10 is "1x"
    assert value(rows["tts.gaps"]) == pytest.approx(1 / 4)
    assert value(rows["tts.clipping"]) == pytest.approx(1 / 4)
    assert value(rows["tts.failures"]) == pytest.approx(1 / 5)
    assert rows["tts.failures"].verdict == "missed"
    assert value(rows["tts.first_audio_p50"]) == pytest.approx(100)
    assert rows["tts.distillmos"].estimate is None
    assert "pip install distillmos" in rows["tts.distillmos"].note
    assert "proxy" in rows["tts.dnsmos"].title


async def test_a_sentence_that_the_listener_fails_on_and_a_recording_that_is_gone_do_not_vanish(
    tmp_path: Path,
) -> None:
    readings = await run(tmp_path, FakeVoice())
    lacks = Failure(ErrorCode.NOT_FOUND, "The corpus lacks the recording of clean.")
    gone = replace(READ[0], audio=tmp_path / "gone.wav")
    task = replace(readings[0].task, recording=gone)
    readings[0] = replace(readings[0], task=task, heard=lacks, floor=lacks)
    rows = by_id(figures.rows(readings, opinions(readings), "fake ear"))
    assert value(rows["tts.unheard"]) == 1
    assert rows["tts.unheard"].verdict == "missed"
    assert figures.samples(readings, opinions(readings))[0].error == lacks.message
    assert len(opinions(readings).dnsmos.recorded) == 1
    likeness(readings, lambda: lambda _samples: np.ones(2, np.float32))


async def test_a_run_that_broke_off_does_not_speak_again_what_was_spoken(tmp_path: Path) -> None:
    await run(tmp_path, first := FakeVoice())
    assert first.said.count(READ[0].text or "") == 1
    await run(tmp_path, again := FakeVoice())
    assert [text for text in again.said if "refused" not in text] == ["Good morning."]


async def test_a_voice_is_warm_before_it_is_measured(tmp_path: Path) -> None:
    await run(tmp_path, voice := FakeVoice())
    assert voice.said[0] == "Good morning."
    assert voice.said.count("Good morning.") == 1


async def test_the_section_makes_a_page_with_players_and_samples_are_unique(tmp_path: Path) -> None:
    readings = await run(tmp_path, FakeVoice())
    found = section(readings, opinions(readings), "fake ear", remembered=2, took_s=1.0)
    assert any(note.startswith("2 were spoken in earlier runs") for note in found.notes)
    assert [case.title.partition(":")[0] for case in found.cases] == ["lossy", "A date (en)"]
    conditions = Conditions(
        started_at="", target="", version="", models={}, cpu="", cores=1, python="", others_load=0.0, seed=0
    )
    html = page(Report(conditions=conditions, sections=(found,)))
    assert html.count("<audio") == 2
    samples = figures.samples(readings, opinions(readings))
    assert len({one.id for one in samples}) == len(samples) == 5
    assert [one.id for one in samples if one.error] == ["en.unit.2"]
    assert next(one for one in samples if one.id == "lossy").ratios["tts.wer"].part == 1


async def test_a_voice_is_held_against_itself_and_people_against_themselves(tmp_path: Path) -> None:
    readings = await run(tmp_path, FakeVoice())
    found = likeness(readings, lambda: lambda samples: np.array([1.0, len(samples) % 2], np.float32))
    assert set(found.spoken) == {"clean", "lossy", "en.number.0", "en.date.1"}
    assert all(value == pytest.approx(1.0) for value in found.spoken.values())
    assert len(found.recorded) == 2
    assert found.strangers == ()
