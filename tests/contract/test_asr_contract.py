"""What every recogniser must do, whatever it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engines.base import Asr, AsrJob, AsrOptions, Cancellation
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import Segment, Transcript

SILENCE = np.zeros(SESSION_RATE_HZ, np.float32)


def job(
    samples: Samples, *, cancellation: Cancellation | None = None, on_segment: Any = None, **options: Any
) -> AsrJob:
    return AsrJob(
        samples=samples,
        options=AsrOptions(**options),
        cancellation=cancellation or Cancellation(),
        on_segment=on_segment,
    )


def transcribed(asr: Asr, samples: Samples, **options: Any) -> Transcript:
    (result,) = asr.transcribe([job(samples, **options)])
    assert isinstance(result, Transcript)
    return result


def test_each_job_has_its_result_in_order(asr: Asr, recogniser: Any) -> None:
    results = asr.transcribe([job(recogniser.country), job(SILENCE), job(recogniser.bridge)])
    texts = [result.text for result in results if isinstance(result, Transcript)]
    assert len(texts) == 3
    assert "country" in texts[0]
    assert texts[1] == ""
    assert "bridge" in texts[2].lower()


def test_no_jobs_have_no_results(asr: Asr) -> None:
    assert asr.transcribe([]) == []


def test_a_cancelled_job_fails_in_its_place_and_harms_no_other(asr: Asr, recogniser: Any) -> None:
    cancelled = Cancellation()
    cancelled.cancel()
    alone = transcribed(asr, recogniser.bridge, language="en")
    before, row, after = asr.transcribe(
        [
            job(recogniser.bridge, language="en"),
            job(recogniser.country, cancellation=cancelled),
            job(recogniser.bridge, language="en"),
        ]
    )
    assert isinstance(row, SpeechError)
    assert row.code is ErrorCode.CANCELLED
    assert before == after == alone


def test_a_job_cancelled_on_the_way_stops_after_the_segment_at_hand(asr: Asr, recogniser: Any) -> None:
    cancellation = Cancellation()
    heard: list[Segment] = []

    def stop(segment: Segment) -> None:
        heard.append(segment)
        cancellation.cancel()

    long = np.tile(recogniser.country, 3)
    (row,) = asr.transcribe([job(long, cancellation=cancellation, on_segment=stop, beam_size=1)])
    assert isinstance(row, SpeechError)
    assert row.code is ErrorCode.CANCELLED
    assert len(heard) == 1


@pytest.mark.parametrize("length_samples", [0, 1, 160, 1_000, SESSION_RATE_HZ * 2])
def test_silence_gives_an_empty_transcript(asr: Asr, length_samples: int) -> None:
    transcript = transcribed(asr, np.zeros(length_samples, np.float32))
    assert transcript.text == ""
    assert transcript.segments == ()
    assert transcript.words == ()
    assert transcript.duration_s == length_samples / SESSION_RATE_HZ


def test_segments_are_told_as_they_come_and_make_up_the_transcript(asr: Asr, recogniser: Any) -> None:
    heard: list[Segment] = []
    transcript = transcribed(asr, recogniser.country, on_segment=heard.append)
    assert tuple(heard) == transcript.segments
    assert heard
    assert " ".join(segment.text.strip() for segment in heard) == transcript.text


def test_times_run_on_and_stay_inside_the_audio(asr: Asr, recogniser: Any) -> None:
    transcript = transcribed(asr, recogniser.country, word_times=True)
    assert transcript.duration_s == len(recogniser.country) / SESSION_RATE_HZ
    for pieces in (transcript.segments, transcript.words):
        times = [time_s for piece in pieces for time_s in (piece.start_s, piece.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0.0
        assert times[-1] <= transcript.duration_s


def test_words_come_when_asked_for_and_hold_no_space(asr: Asr, recogniser: Any) -> None:
    assert transcribed(asr, recogniser.bridge).words == ()
    transcript = transcribed(asr, recogniser.bridge, word_times=True)
    assert [word.text for word in transcript.words] == transcript.text.split()
    assert all(0.0 <= word.probability <= 1.0 for word in transcript.words)


def test_tokens_come_with_their_probability_when_asked_for_and_make_up_the_text(asr: Asr, recogniser: Any) -> None:
    plain = transcribed(asr, recogniser.country)
    assert all(segment.logprobs == () for segment in plain.segments)
    scored = transcribed(asr, recogniser.country, token_logprobs=True)
    assert scored.text == plain.text
    for segment in scored.segments:
        assert b"".join(token.data for token in segment.logprobs).decode() == segment.text
        assert all(token.logprob <= 0.0 for token in segment.logprobs)


def test_an_unknown_language_fails_in_its_row_alone(asr: Asr, recogniser: Any) -> None:
    row, other = asr.transcribe([job(recogniser.bridge, language="xx"), job(recogniser.bridge)])
    assert isinstance(row, SpeechError)
    assert row.code is ErrorCode.UNSUPPORTED_LANGUAGE
    assert row.param == "language"
    assert isinstance(other, Transcript)


def test_a_stated_language_is_certain(asr: Asr, recogniser: Any) -> None:
    transcript = transcribed(asr, recogniser.bridge, language="en")
    assert (transcript.language, transcript.language_probability) == ("en", 1.0)


def test_languages_are_guessed_for_each_piece_most_probable_first(asr: Asr, recogniser: Any) -> None:
    rows = asr.detect_language([recogniser.country, SILENCE])
    assert len(rows) == 2
    for guesses in rows:
        probabilities = [guess.probability for guess in guesses]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1.0, abs=0.01)
        assert {guess.language for guess in guesses} <= asr.languages
    assert rows[0][0].language == "en"
