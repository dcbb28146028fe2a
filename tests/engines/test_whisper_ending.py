"""What Whisper's decoder knows of how sentences end, with the real weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel

from engines.base import AsrJob, AsrOptions, Cancellation
from engines.whisper import WhisperAsr
from engines.whisper_ending import EndingScorer
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import AsrTask, Transcript

BASE = "whisper-base"
BRIDGE = "gcp/brooklyn_bridge.flac"

Recording = Callable[[str], Samples]
ModelDir = Callable[[str], Path]

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def ending(model_dir: ModelDir) -> EndingScorer:
    return EndingScorer(WhisperModel(str(model_dir(BASE)), device="cpu", compute_type="int8", cpu_threads=1))


@pytest.fixture(scope="module")
def engine(model_dir: ModelDir) -> Iterator[WhisperAsr]:
    engine = WhisperAsr(model_dir(BASE), device="cpu", compute_type="int8", cpu_threads=1)
    yield engine
    engine.close()


@pytest.mark.parametrize(
    ("language", "goes_on", "may_be_all"),
    [
        ("en", "We ordered a large.", "We ordered a large pizza."),
        ("en", "I would like to", "I would like to pay by card"),
        ("de", "Ich möchte einen Tisch für.", "Ich möchte einen Tisch für vier Personen."),
        ("es", "Quiero cuatro entradas para la", "Quiero cuatro entradas para la película"),
        ("fr", "Je voudrais réserver une", "Je voudrais réserver une table"),
        ("pt", "A minha filha está com febr...", "A minha filha está com febre."),
    ],
)
def test_texts_that_go_on_are_told_from_those_that_may_be_all(
    ending: EndingScorer, language: str, goes_on: str, may_be_all: str
) -> None:
    before, after = ending.probability(goes_on, language), ending.probability(may_be_all, language)
    assert before is not None
    assert after is not None
    assert 0 <= 5 * before < after <= 1


def test_the_mark_that_a_text_was_given_makes_no_difference(ending: EndingScorer) -> None:
    found = {ending.probability(f"Two coffees{mark}", "en") for mark in ("", ".", "?", "...", ",", "!”")}
    assert len(found) == 1


@pytest.mark.parametrize(("text", "language"), [("", "en"), (" ... ", "en"), ("สวัสดี", "th"), ("我想订", "zh")])
def test_nothing_is_said_of_no_words_and_where_it_was_not_tried(ending: EndingScorer, text: str, language: str) -> None:
    assert ending.probability(text, language) is None


def test_of_a_long_text_the_end_counts(ending: EndingScorer) -> None:
    def after(before: str) -> float | None:
        return ending.probability(before + " and then we went on" * 40 + " to the station", "en")

    assert after("First we had lunch,") == after("My sister") is not None


@pytest.mark.parametrize("trimmed", [True, False])
def test_a_transcript_tells_it_if_asked(engine: WhisperAsr, recording: Recording, *, trimmed: bool) -> None:
    samples = recording(BRIDGE)  # “How old is the Brooklyn Bridge?”

    def heard(piece: Samples, *, sentence_end: bool = False) -> Transcript:
        wanted = AsrOptions(language="en", trimmed=trimmed, beam_size=1, sentence_end=sentence_end)
        (row,) = engine.transcribe([AsrJob(samples=piece, options=wanted, cancellation=Cancellation())])
        assert isinstance(row, Transcript)
        return row

    asked, unasked = heard(samples, sentence_end=True), heard(samples)
    assert asked.text == unasked.text
    assert unasked.sentence_end is None
    assert asked.sentence_end is not None
    assert asked.sentence_end > 0.2
    assert heard(np.zeros(SESSION_RATE_HZ, np.float32), sentence_end=True).sentence_end is None


def test_nobody_is_told_who_does_not_wait_any_more(engine: WhisperAsr, recording: Recording) -> None:
    class CancelledOnceHeard(Cancellation):
        def on_heard(self, _: object) -> None:
            self.cancel()

    cancellation = CancelledOnceHeard()
    options = AsrOptions(language="en", beam_size=1, sentence_end=True)
    (row,) = engine.transcribe(
        [
            AsrJob(
                samples=recording(BRIDGE),
                options=options,
                cancellation=cancellation,
                on_segment=cancellation.on_heard,
            )
        ]
    )
    assert isinstance(row, SpeechError)
    assert row.code is ErrorCode.CANCELLED


def test_a_model_of_one_language_knows_it_too_and_threads_share_it(model_dir: ModelDir) -> None:
    model = WhisperModel(
        str(model_dir("whisper-tiny.en")), device="cpu", compute_type="int8", cpu_threads=1, num_workers=2
    )
    ending = EndingScorer(model)
    texts = ["We ordered a large.", "We ordered a large pizza."] * 4

    def ask(text: str) -> float | None:
        return ending.probability(text, "en")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, texts))
    goes_on, may_be_all = found[:2]
    assert found == [goes_on, may_be_all] * 4
    assert goes_on is not None
    assert may_be_all is not None
    assert goes_on < may_be_all


def test_a_text_that_reads_like_a_marker_is_a_text(ending: EndingScorer) -> None:
    with_marker = ending.probability("I would like <|endoftext|> a coffee", "en")
    assert with_marker == ending.probability("I would like  a coffee", "en")


def test_rows_are_told_that_ask_and_no_others(engine: WhisperAsr, recording: Recording) -> None:
    def job(*, translate: bool = False, asked: bool = True) -> AsrJob:
        task = AsrTask.TRANSLATE if translate else AsrTask.TRANSCRIBE
        options = AsrOptions(language="en", task=task, trimmed=True, beam_size=1, sentence_end=asked)
        return AsrJob(samples=recording(BRIDGE), options=options, cancellation=Cancellation())

    rows = engine.transcribe([job(), job(asked=False), job(translate=True)])
    assert [isinstance(row, Transcript) and row.sentence_end is not None for row in rows] == [True, False, False]
