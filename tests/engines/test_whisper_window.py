"""Recognition of several recordings at once, in a window that fits them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from faster_whisper import WhisperModel

from engines.base import AsrJob, AsrOptions, Cancellation
from engines.whisper import WhisperAsr
from engines.whisper_window import WindowDecoder, window_frames
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import Transcript

pytestmark = pytest.mark.real

BRIDGE = "gcp/brooklyn_bridge.flac"
GERMAN = "leopard/test_de.flac"
Recording = Callable[[str], Samples]


@pytest.fixture(scope="module")
def base(model_dir: Callable[[str], Path]) -> Iterator[WhisperAsr]:
    engine = WhisperAsr(model_dir("whisper-base"), device="cpu", compute_type="int8", cpu_threads=1)
    yield engine
    engine.close()


def job(samples: Samples, **options: Any) -> AsrJob:
    return AsrJob(samples=samples, options=AsrOptions(trimmed=True, **options), cancellation=Cancellation())


def as_long(samples: Samples, other: Samples) -> tuple[Samples, Samples]:
    return np.pad(samples, (0, len(other) - len(samples))), other


def test_each_of_a_batch_is_recognised_as_if_it_were_alone(base: WhisperAsr, recording: Recording) -> None:
    english, german = as_long(recording(BRIDGE), recording(GERMAN))
    jobs = [
        job(english, language="en", beam_size=1),
        job(german, language="de", beam_size=1, word_times=True),
        job(german, beam_size=1),
        job(english, beam_size=1, word_times=True),
    ]
    assert len({base.bucket(one) for one in jobs}) == 1
    together = base.transcribe(jobs)
    alone = [base.transcribe([one])[0] for one in jobs]
    for ours, solo in zip(together, alone, strict=True):
        assert isinstance(ours, Transcript)
        assert isinstance(solo, Transcript)
        assert (ours.text, ours.language) == (solo.text, solo.language)
        assert [word.text for word in ours.words] == [word.text for word in solo.words]
        assert all(abs(a.start_s - b.start_s) < 0.1 for a, b in zip(ours.words, solo.words, strict=True))
    assert [one.language for one in together if isinstance(one, Transcript)] == ["en", "de", "de", "en"]


def test_a_prompt_is_the_affair_of_its_own_row(base: WhisperAsr, recording: Recording) -> None:
    bridge = recording(BRIDGE)
    shouting, plain = "HOW TALL IS THE TOWER?", "How tall is the tower?"
    jobs = [job(bridge, language="en", prompt=prompt, beam_size=1) for prompt in (shouting, plain)]
    (loud,), (quiet,) = (base.transcribe([one]) for one in jobs)
    assert base.transcribe([jobs[0], jobs[1], jobs[0]]) == [loud, quiet, loud]


def test_rows_share_a_batch_only_if_window_prompt_and_beam_are_as_long(recording: Recording, base: WhisperAsr) -> None:
    bridge = recording(BRIDGE)
    others = [
        job(np.tile(bridge, 6)),
        job(bridge, prompt="How tall is the tower?"),
        job(bridge, hotwords=("Brooklyn",)),
        job(bridge, beam_size=1),
    ]
    buckets = [base.bucket(one) for one in (job(bridge), *others)]
    assert len(set(buckets)) == len(buckets)
    assert base.bucket(AsrJob(samples=bridge, options=AsrOptions(), cancellation=Cancellation())) is None


def test_a_batch_goes_on_while_anybody_waits_for_it(base: WhisperAsr, recording: Recording) -> None:
    english, german = as_long(recording(BRIDGE), recording(GERMAN))
    left, stays = job(english, language="en", beam_size=1), job(german, language="de", beam_size=1)
    assert base.bucket(left) == base.bucket(stays)
    left.cancellation.cancel()
    first, second = base.transcribe([left, stays])
    assert isinstance(first, SpeechError)
    assert first.code is ErrorCode.CANCELLED
    assert isinstance(second, Transcript)


def test_the_features_are_those_of_the_library(model_dir: Callable[[str], Path], recording: Recording) -> None:
    model: Any = WhisperModel(str(model_dir("whisper-tiny.en")), device="cpu", compute_type="int8")
    samples = recording(BRIDGE)
    (ours,) = WindowDecoder(model).features([samples], 1_000)
    theirs = model.feature_extractor(np.pad(samples, (0, SESSION_RATE_HZ // 2)))  # half a second of silence
    assert np.array_equal(ours[:, : theirs.shape[1]], theirs)
    assert not ours[:, theirs.shape[1] :].any()


@pytest.mark.parametrize(
    ("duration_s", "frames"), [(0.5, 800), (5.0, 800), (5.5, 1_000), (27.0, None), (25.5, None), (24.9, 2_800)]
)
def test_the_window_is_the_audio_and_three_seconds_in_steps_of_two(duration_s: float, frames: int | None) -> None:
    samples = np.zeros(int(duration_s * SESSION_RATE_HZ), np.float32)
    assert window_frames(samples, AsrOptions(trimmed=True)) == frames
    assert window_frames(samples, AsrOptions()) is None
    assert window_frames(samples, AsrOptions(trimmed=True, temperature=0.4)) is None


def test_a_text_that_breaks_off_is_for_now_only(base: WhisperAsr, recording: Recording) -> None:
    # As whisper-base hears it: in twelve seconds it stops early, in thirty it does not.
    for_now, final = (
        base.transcribe([job(recording("fleurs/fleurs-fr-002.ogg"), language="fr", provisional=provisional)])[0]
        for provisional in (True, False)
    )
    assert isinstance(for_now, Transcript)
    assert isinstance(final, Transcript)
    assert 0 < len(for_now.text) < len(final.text)
    assert not for_now.text.endswith(".")
    assert final.text.endswith(".")


def test_a_turn_that_ends_with_its_last_word_has_an_end(base: WhisperAsr, recording: Recording) -> None:
    # With blank features right behind it, this breaks off after two words.
    (heard,) = base.transcribe([job(recording("speechbrain/spk1_snt6.flac"), language="en", provisional=True)])
    assert isinstance(heard, Transcript)
    assert heard.text == "The pencils have all been used."


@pytest.mark.parametrize("name", ["silence", "noise"])
def test_silence_and_noise_are_no_words(base: WhisperAsr, name: str) -> None:
    rng = np.random.default_rng(7)
    samples = np.zeros(32_000, np.float32) if name == "silence" else rng.normal(0, 0.02, 32_000).astype(np.float32)
    (heard,) = base.transcribe([job(samples, language="en", beam_size=1)])
    assert isinstance(heard, Transcript)
    assert heard.text == ""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the library is asked for in the whole window."""
    asked: list[dict[str, Any]] = []
    transcribe = cast("Any", WhisperModel).transcribe

    def spied(model: WhisperModel, audio: Samples, **given: Any) -> Any:
        asked.append(given)
        return transcribe(model, audio, **given)

    monkeypatch.setattr(WhisperModel, "transcribe", spied)
    return asked


@pytest.mark.parametrize(
    ("options", "temperatures", "tokens"),
    [
        ({"provisional": True}, 1, 40 + 32),
        ({}, 6, 40 + 32),
        ({"trimmed": False}, 6, None),
    ],
)
def test_a_loop_in_the_whole_window_of_a_turn_is_short(
    base: WhisperAsr,
    recording: Recording,
    asked: list[dict[str, Any]],
    options: dict[str, Any],
    temperatures: int,
    tokens: int | None,
) -> None:
    wanted: dict[str, Any] = {"trimmed": True, "token_logprobs": True, **options}  # which takes the whole window
    given = AsrOptions(language="en", **wanted)
    second = recording(BRIDGE)[:SESSION_RATE_HZ]
    base.transcribe([AsrJob(samples=second, options=given, cancellation=Cancellation())])
    assert [len(one["temperature"]) for one in asked] == [temperatures]
    assert [one["max_new_tokens"] for one in asked] == [tokens]


def test_with_the_exact_window_nothing_is_cut_short(
    base: WhisperAsr, recording: Recording, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "_exact_window", True)
    base.transcribe([job(recording(BRIDGE)[:SESSION_RATE_HZ], language="en", provisional=True)])
    assert [(len(one["temperature"]), one["max_new_tokens"]) for one in asked] == [(6, None)]
