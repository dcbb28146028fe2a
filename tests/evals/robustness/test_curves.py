"""A recogniser that hears a word less for each step that the sound is damaged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evals.cache import Cache
from evals.corpora.utterance import Utterance
from evals.decoding import decode, wav
from evals.robustness.curves import Curves, figure_id
from evals.robustness.degradations import Degradation, Family, families
from evals.robustness.measure import Result, chosen, measure, trials
from evals.runner import Runner
from evals.targets.base import Heard
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import LanguageGuess

pytestmark = pytest.mark.anyio

WORDS = "rice is often served with round bowls of fresh lemons".split()
TEXT = " ".join(WORDS)


def quieter(by: float) -> Degradation:
    return Degradation(f"{by:g}", lambda samples, _rng: samples * np.float32(1 - by))


def shuffled(samples: Samples, rng: np.random.Generator) -> Samples:
    return samples * np.float32(rng.uniform(0.9, 1.0))


WAYS = (
    Family("quiet", "Quiet", "how much", (quieter(0.2), quieter(0.5))),
    Family("drawn", "Drawn", "how much", (Degradation("a", shuffled), Degradation("b", shuffled))),
)


class FakeEar:
    """Hears as many words as tenths of full scale that the sound has; is asked for files."""

    identity = "fake ear"

    def __init__(self) -> None:
        self.peaks: list[float] = []

    async def transcribe(self, audio: bytes, language: str | None, *, words: bool = False) -> Heard:  # noqa: ARG002  the Protocol's
        peak = float(np.abs(decode(audio)).max())
        self.peaks.append(peak)
        if language == "xx":
            raise SpeechError(ErrorCode.UNSUPPORTED_LANGUAGE, "It does not know xx.")
        return Heard(text=" ".join(WORDS[: round(10 * peak)]))

    async def detect_language(self, audio: bytes) -> LanguageGuess | None:  # noqa: ARG002  the Protocol's
        return None


def utterance(name: str, language: str = "en", duration_s: float = 1.0) -> Utterance:
    loud = np.full(SESSION_RATE_HZ, 0.999, np.float32)
    return Utterance(id=name, audio=wav(loud), text=TEXT, language=language, speaker=name, duration_s=duration_s)


async def run(folder: Path, ear: FakeEar, *utterances: Utterance, seed: int = 0) -> list[Result]:
    return await measure(trials(utterances, WAYS), ear, Runner(Cache(folder), 1), seed=seed)


async def test_each_degradation_has_its_word_errors_and_what_it_adds(tmp_path: Path) -> None:
    curves = Curves(await run(tmp_path, FakeEar(), utterance("a"), utterance("b")), WAYS)
    section = curves.section(1.0, (), seed=0)
    rows = {row.id: row for row in section.rows}
    values = {name: row.estimate.value for name, row in rows.items() if row.estimate}
    assert values["robustness.clean.wer"] == values["robustness.failed"] == 0
    overall = curves.samples()[-1].ratios["robustness.wer"]
    assert overall == curves.samples()[-1].ratios["robustness.drawn.b.wer"]
    assert 0.1 < values["robustness.wer"] < 0.5
    assert section.notes[1].startswith("Only 2 speakers")
    assert values["robustness.quiet.0_2.wer"] == pytest.approx(0.2)
    assert values["robustness.quiet.0_5.wer"] == pytest.approx(0.5)
    added = rows["robustness.quiet.0_5.wer"].beside["more than as recorded"]
    assert added is not None
    assert added.value == pytest.approx(0.5)
    quiet, _ = section.plots
    assert quiet.labels == ("clean", "0.2", "0.5")
    assert quiet.series[0].y == pytest.approx((0.0, 20.0, 50.0))
    assert section.cases[0].title == "Quiet, 0.5: 5 more words wrong"


async def test_strengths_of_a_way_are_drawn_alike_and_another_seed_draws_otherwise(tmp_path: Path) -> None:
    await run(tmp_path / "1", ear := FakeEar(), utterance("a"))
    clean, *_, drawn = ear.peaks  # both strengths came to the same sound, which was recognised once
    assert len(ear.peaks) == 4
    assert drawn < clean
    await run(tmp_path / "2", again := FakeEar(), utterance("a"))
    assert again.peaks == ear.peaks
    await run(tmp_path / "3", fresh := FakeEar(), utterance("a"), seed=1)
    assert fresh.peaks[-1] != drawn


async def test_what_was_recognised_is_not_asked_again(tmp_path: Path) -> None:
    await run(tmp_path, FakeEar(), utterance("a"))
    await run(tmp_path, again := FakeEar(), utterance("a"))
    assert again.peaks == []


async def test_what_failed_is_left_out_and_said(tmp_path: Path) -> None:
    curves = Curves(await run(tmp_path, FakeEar(), utterance("a"), utterance("b", "xx")), WAYS)
    section = curves.section(1.0, (), seed=0)
    assert {row.id: row.verdict for row in section.rows if row.hard_zero} == {"robustness.failed": "missed"}
    samples = curves.samples()
    assert sum(bool(one.error) for one in samples) == 5
    assert len({one.id for one in samples}) == len(samples) == 10


def test_recordings_are_taken_from_all_over_a_corpus_language_by_language() -> None:
    corpus = [utterance(f"{language}{n}", language) for language in ("de", "en") for n in range(9)]
    corpus.append(utterance("long", "en", 60.0))
    assert [one.id for one in chosen(corpus, 3, 15.0)] == ["de0", "de4", "de8", "en0", "en4", "en8"]
    assert [one.id for one in chosen(corpus[:2], 3, 15.0)] == ["de0", "de1"]


def test_each_degradation_has_a_name_of_its_own() -> None:
    names = [figure_id(family.name, one.label) for family in families((), ()) for one in family.degradations]
    assert len(set(names)) == len(names)
    assert "robustness.noise.10_db.wer" in names
    assert "robustness.level.minus_40_dbfs.wer" in names
    assert all(name.replace("_", "").replace(".", "").isalnum() for name in names)
