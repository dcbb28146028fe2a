from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import ctranslate2
import numpy as np
import pytest
from faster_whisper import WhisperModel
from faster_whisper.transcribe import Segment as WhisperSegment

from engines.base import AsrJob, AsrOptions, Cancellation
from engines.whisper import WhisperAsr, is_invented
from engines.whisper_window import WindowDecoder
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import AsrTask, Segment, Transcript

JFK = "faster_whisper/jfk.flac"
BRIDGE = "gcp/brooklyn_bridge.flac"
GERMAN = "leopard/test_de.flac"
READ = "ljspeech/LJ001-0004.flac"
BASE = "whisper-base"
EN = "whisper-tiny.en"
LADDER = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)

Recording = Callable[[str], Samples]
ModelDir = Callable[[str], Path]


@pytest.fixture(scope="module")
def base(model_dir: ModelDir) -> Iterator[WhisperAsr]:
    engine = WhisperAsr(model_dir(BASE), device="cpu", compute_type="int8", cpu_threads=1)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def english(model_dir: ModelDir) -> Iterator[WhisperAsr]:
    engine = WhisperAsr(model_dir(EN), device="cpu", compute_type="int8", cpu_threads=1, num_workers=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def engines(base: WhisperAsr, english: WhisperAsr) -> dict[str, WhisperAsr]:
    return {BASE: base, EN: english}


@pytest.fixture(scope="module")
def libraries(model_dir: ModelDir) -> dict[str, Any]:
    """The same two, without the adapter."""
    return {
        name: WhisperModel(str(model_dir(name)), device="cpu", compute_type="int8", cpu_threads=1)
        for name in (BASE, EN)
    }


def job(
    samples: Samples, *, cancellation: Cancellation | None = None, on_segment: Any = None, **options: Any
) -> AsrJob:
    return AsrJob(
        samples=samples,
        options=AsrOptions(**options),
        cancellation=cancellation or Cancellation(),
        on_segment=on_segment,
    )


def transcribed(engine: WhisperAsr, samples: Samples, **options: Any) -> Transcript:
    (row,) = engine.transcribe([job(samples, **options)])
    assert isinstance(row, Transcript), row
    return row


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def refusal(engine: WhisperAsr, samples: Samples, **options: Any) -> SpeechError:
    (row,) = engine.transcribe([job(samples, **options)])
    assert isinstance(row, SpeechError)
    return row


class CancelledAt(Cancellation):
    """Cancelled when it is looked at for the given time."""

    def __init__(self, look: int) -> None:
        super().__init__()
        self.looks = 0
        self._at = look

    def check(self) -> None:
        self.looks += 1
        if self.looks == self._at:
            self.cancel()
        super().check()


@pytest.mark.real
class TestAgainstFasterWhisper:
    """The adapter adds nothing to what the library recognises."""

    @pytest.mark.parametrize(
        ("model", "name", "ours", "theirs"),
        [
            (EN, BRIDGE, {}, {}),
            (BASE, GERMAN, {}, {}),
            (EN, JFK, {"beam_size": 1}, {"beam_size": 1}),
            (BASE, GERMAN, {"task": AsrTask.TRANSLATE, "language": "de"}, {"task": "translate", "language": "de"}),
            (EN, JFK, {"word_times": True, "language": "en"}, {"word_timestamps": True, "language": "en"}),
            (EN, "gcp/audio_silence_padding.flac", {"vad_filter": True}, {"vad_filter": True}),
            (
                EN,
                "leopard/test.flac",
                {"prompt": "Mr. Quilter, an art critic.", "hotwords": ("Quilter", "apostle")},
                {"initial_prompt": "Mr. Quilter, an art critic.", "hotwords": "Quilter, apostle"},
            ),
        ],
        ids=["defaults", "detected", "greedy", "translate", "word times", "voice filter", "prompt and hot words"],
    )
    def test_text_and_segments_are_the_same(
        self,
        engines: dict[str, WhisperAsr],
        libraries: dict[str, Any],
        recording: Recording,
        model: str,
        name: str,
        ours: dict[str, Any],
        theirs: dict[str, Any],
    ) -> None:
        found, info = libraries[model].transcribe(
            recording(name), condition_on_previous_text=False, temperature=LADDER, **theirs
        )
        segments = list(found)
        transcript = transcribed(engines[model], recording(name), **ours)
        assert transcript.text == "".join(segment.text for segment in segments).strip() != ""
        assert (transcript.language, transcript.language_probability) == (info.language, info.language_probability)
        assert len(transcript.segments) == len(segments)
        for our, their in zip(transcript.segments, segments, strict=True):
            assert (our.id, our.text, our.seek, list(our.tokens)) == (their.id, their.text, their.seek, their.tokens)
            assert (our.avg_logprob, our.no_speech_prob) == (their.avg_logprob, their.no_speech_prob)
            assert (our.start_s, our.end_s) == (their.start, min(their.end, transcript.duration_s))
            assert [word.text for word in our.words] == [word.word.strip() for word in their.words or ()]
            assert [word.start_s for word in our.words] == [word.start for word in their.words or ()]

    def test_languages_are_guessed_the_same(
        self, base: WhisperAsr, libraries: dict[str, Any], recording: Recording
    ) -> None:
        language, probability, candidates = libraries[BASE].detect_language(recording(GERMAN))
        (guesses,) = base.detect_language([recording(GERMAN)])
        assert (
            (guesses[0].language, guesses[0].probability)
            == (language, probability)
            == ("de", pytest.approx(1, abs=0.1))
        )
        assert len(guesses) == len(candidates)


@pytest.mark.real
class TestRecognition:
    @pytest.mark.parametrize("language", ["de", "es", "fr", "pt"])
    def test_languages_are_told_apart(self, base: WhisperAsr, recording: Recording, language: str) -> None:
        (guesses,) = base.detect_language([recording(f"fleurs/fleurs-{language}-002.ogg")])
        assert guesses[0].language == language

    def test_a_stated_temperature_is_the_only_one(self, english: WhisperAsr, recording: Recording) -> None:
        transcript = transcribed(english, recording(BRIDGE), temperature=0.4)
        assert {round(segment.temperature, 3) for segment in transcript.segments} <= {0.4}

    def test_noise_is_silent(self, english: WhisperAsr, recording: Recording) -> None:
        assert transcribed(english, recording("noise_rir/noise1.flac"), beam_size=1).segments == ()

    def test_quiet_rooms_are_silent(self, base: WhisperAsr, english: WhisperAsr, recording: Recording) -> None:
        for engine in (base, english):
            transcript = transcribed(engine, recording("silence/se_tyst_u0016001.flac"), language="en")
            assert transcript.segments == ()

    def test_dither_is_not_shown_to_the_model(self, english: WhisperAsr) -> None:
        steps = np.random.default_rng(0).integers(-1, 2, 3 * SESSION_RATE_HZ)
        transcript = transcribed(english, (steps / 32_768).astype(np.float32))
        assert (transcript.text, transcript.language, transcript.language_probability) == ("", "und", 0.0)

    def test_faint_speech_is_heard(self, english: WhisperAsr, recording: Recording) -> None:
        assert "bridge" in transcribed(english, recording(BRIDGE) * np.float32(0.003)).text.lower()

    def test_silence_has_the_language_that_was_stated(self, base: WhisperAsr) -> None:
        transcript = transcribed(base, np.zeros(SESSION_RATE_HZ, np.float32), language="fr")
        assert (transcript.language, transcript.language_probability) == ("fr", 1.0)

    def test_filtered_silence_is_empty(self, base: WhisperAsr, recording: Recording) -> None:
        noise = recording("noise_rir/noise2.flac")
        assert transcribed(base, noise, vad_filter=True, language="en").segments == ()

    def test_hot_words_and_prompt_share_what_the_model_can_read(self, base: WhisperAsr, recording: Recording) -> None:
        hotwords = tuple(f"Brooklyn number {number}" for number in range(60))
        transcript = transcribed(
            base, recording(BRIDGE), language="en", hotwords=hotwords, prompt="A long story. " * 140
        )
        assert transcript.duration_s > 0.0

    @pytest.mark.parametrize("vad_filter", [False, True])
    def test_each_window_of_a_recording_has_the_probabilities_of_its_tokens(
        self, english: WhisperAsr, recording: Recording, *, vad_filter: bool
    ) -> None:
        samples = np.concatenate([recording(name) for name in (JFK, READ, "leopard/test.flac", BRIDGE, JFK)])
        transcript = transcribed(
            english, samples, token_logprobs=True, trimmed=True, beam_size=1, vad_filter=vad_filter
        )
        assert len({segment.seek for segment in transcript.segments}) > 1
        for segment in transcript.segments:
            assert b"".join(token.data for token in segment.logprobs).decode() == segment.text
            # Heard in another window than its own, a text is all but impossible.
            assert np.mean([token.logprob for token in segment.logprobs]) > -1.0

    @pytest.mark.parametrize("language", ["de", "fr", "pt"])
    def test_tokens_are_the_bytes_of_any_script(self, base: WhisperAsr, recording: Recording, language: str) -> None:
        samples = recording(f"fleurs/fleurs-{language}-002.ogg")
        transcript = transcribed(base, samples, token_logprobs=True, language=language)
        assert not transcript.text.isascii()
        tokens = [token.data for segment in transcript.segments for token in segment.logprobs]
        assert b"".join(tokens).decode().strip() == transcript.text

    def test_tokens_are_less_sure_in_noise(self, english: WhisperAsr, recording: Recording) -> None:
        speech = recording(BRIDGE)
        noise = np.random.default_rng(0).normal(0.0, 0.03, len(speech)).astype(np.float32)

        def doubt(samples: Samples) -> float:
            transcript = transcribed(english, samples, token_logprobs=True)
            return -float(np.mean([token.logprob for segment in transcript.segments for token in segment.logprobs]))

        assert doubt(speech + noise) > doubt(speech)

    def test_threads_side_by_side_get_what_one_would(self, english: WhisperAsr, recording: Recording) -> None:
        clips = [recording(BRIDGE), recording("speechbrain/spk1_snt1.flac"), recording("pocketsphinx/goforward.flac")]
        options: dict[str, Any] = {"beam_size": 1}
        alone = [transcribed(english, clip, **options) for clip in clips]
        with ThreadPoolExecutor(3) as threads:
            together = list(threads.map(english.transcribe, [[job(clip, **options)] for clip in clips]))
        assert [row for (row,) in together] == alone


@pytest.mark.parametrize(
    ("text", "no_speech_prob", "avg_logprob", "kept"),
    [
        (" Five five.", 0.56, -0.61, True),
        (" A mumbled sentence.", 0.1, -1.4, True),
        (" 5 5", 0.25, -0.76, True),
        (" 東京", 0.0, -0.2, True),
        (" You", 0.94, -0.88, False),
        (" I'm sorry.", 0.51, -1.8, False),
        (" .", 0.1, -0.5, False),
        (" ♪♪", 0.1, -0.5, False),
    ],
)
def test_segments_that_speech_does_not_give_are_dropped(
    text: str, no_speech_prob: float, avg_logprob: float, *, kept: bool
) -> None:
    segment = WhisperSegment(
        id=1,
        seek=0,
        start=0.0,
        end=1.0,
        text=text,
        tokens=[],
        avg_logprob=avg_logprob,
        compression_ratio=1.0,
        no_speech_prob=no_speech_prob,
        words=None,
        temperature=0.0,
    )
    assert is_invented(segment) is not kept


@pytest.mark.real
class TestRefusal:
    def test_languages_that_are_known_are_named(self, base: WhisperAsr) -> None:
        error = refusal(base, np.zeros(SESSION_RATE_HZ, np.float32), language="klingon")
        assert (error.code, error.param) == (ErrorCode.UNSUPPORTED_LANGUAGE, "language")
        assert " de, " in error.message
        assert "klingon" in error.message

    def test_an_english_model_takes_english_only(self, english: WhisperAsr, recording: Recording) -> None:
        assert english.languages == {"en"}
        error = refusal(english, recording(GERMAN), language="de")
        assert error.code is ErrorCode.UNSUPPORTED_LANGUAGE
        assert error.message.endswith("one of: en.")

    def test_an_english_model_does_not_translate(self, english: WhisperAsr, recording: Recording) -> None:
        error = refusal(english, recording(GERMAN), task=AsrTask.TRANSLATE)
        assert (error.code, error.param) == (ErrorCode.INVALID_REQUEST, "task")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_samples_that_are_no_numbers_are_invalid(self, english: WhisperAsr, value: float) -> None:
        samples = np.zeros(SESSION_RATE_HZ, np.float32)
        samples[100] = value
        assert refusal(english, samples).code is ErrorCode.INVALID_AUDIO


@pytest.mark.real
class TestCancellation:
    def test_it_is_seen_where_no_segment_is_found(self, english: WhisperAsr) -> None:
        hiss = np.random.default_rng(0).normal(0.0, 0.05, 90 * SESSION_RATE_HZ).astype(np.float32)
        heard: list[Segment] = []
        cancellation = CancelledAt(8)
        (row,) = english.transcribe([job(hiss, cancellation=cancellation, on_segment=heard.append)])
        assert isinstance(row, SpeechError)
        assert row.code is ErrorCode.CANCELLED
        assert cancellation.looks == 8
        assert heard == []

    def test_the_engine_can_be_used_after_it(self, english: WhisperAsr, recording: Recording) -> None:
        english.transcribe([job(recording(BRIDGE), cancellation=CancelledAt(3))])
        assert "bridge" in transcribed(english, recording(BRIDGE)).text.lower()


class TestLoading:
    @pytest.mark.real
    @pytest.mark.parametrize("compute_type", ["default", "auto", "int8", "int8_float32", "float32"])
    def test_each_compute_type_of_a_cpu_loads_and_recognises(
        self, model_dir: ModelDir, recording: Recording, compute_type: str
    ) -> None:
        engine = WhisperAsr(model_dir(EN), device="cpu", compute_type=compute_type)
        assert "bridge" in transcribed(engine, recording(BRIDGE), beam_size=1).text.lower()
        engine.close()

    @pytest.mark.real
    def test_other_compute_types_are_refused_with_those_there_are(self, model_dir: ModelDir) -> None:
        with pytest.raises(SpeechError, match=r"auto or one of: .*float32.*int8") as raised:
            WhisperAsr(model_dir(EN), device="cpu", compute_type="float17")
        assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_SETTING, "compute_type")

    @pytest.mark.real
    @pytest.mark.parametrize("device", ["tpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:99", ""])
    def test_other_devices_are_refused(self, model_dir: ModelDir, device: str) -> None:
        with pytest.raises(SpeechError) as raised:
            WhisperAsr(model_dir(EN), device=device)
        assert (raised.value.code, raised.value.param) == (ErrorCode.INVALID_SETTING, "device")

    @pytest.mark.parametrize("present", [[], ["model.bin"], ["tokenizer.json"]])
    def test_missing_files_are_not_looked_for_elsewhere(self, tmp_path: Path, present: list[str]) -> None:
        folder = tmp_path / "whisper-none"
        folder.mkdir()
        for name in present:
            (folder / name).write_bytes(b"")
        with pytest.raises(SpeechError, match="antiphon models pull whisper-none") as raised:
            WhisperAsr(folder)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT
        assert str(tmp_path) not in raised.value.message


@pytest.fixture
def encoded_frames(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames of features the model was shown, call by call."""
    frames: list[int] = []
    encode, features_of = cast("Any", WhisperModel).encode, WindowDecoder.features

    def spy(model: Any, features: Any) -> Any:
        frames.append(features.shape[-1])
        return encode(model, features)

    def spy_window(decoder: WindowDecoder, recordings: Any, length: int) -> Any:
        features = features_of(decoder, recordings, length)
        frames.append(features.shape[-1])
        return features

    monkeypatch.setattr(WhisperModel, "encode", spy)
    monkeypatch.setattr(WindowDecoder, "features", spy_window)
    return frames


@pytest.mark.real
@pytest.mark.parametrize("name", [JFK, "ljspeech/LJ001-0002.flac", READ])
def test_clear_speech_has_the_same_words_in_a_trimmed_window(
    base: WhisperAsr, recording: Recording, encoded_frames: list[int], name: str
) -> None:
    samples = recording(name)
    whole = transcribed(base, samples, language="en")
    assert set(encoded_frames) == {3_000}
    encoded_frames.clear()
    trimmed = transcribed(base, samples, language="en", trimmed=True)
    assert words_of(trimmed.text) == words_of(whole.text)
    assert 100 * (len(samples) / SESSION_RATE_HZ + 2) <= max(encoded_frames) < 2_000


@pytest.mark.real
def test_words_recognised_in_a_trimmed_window_have_their_times(base: WhisperAsr, recording: Recording) -> None:
    samples = recording(READ)
    whole = transcribed(base, samples, language="en", word_times=True)
    trimmed = transcribed(base, samples, language="en", word_times=True, trimmed=True)
    assert [words_of(word.text) for word in trimmed.words] == [words_of(word.text) for word in whole.words]
    assert all(
        abs(ours.start_s - theirs.start_s) < 0.2 for ours, theirs in zip(trimmed.words, whole.words, strict=True)
    )


@pytest.mark.real
def test_a_result_that_fails_the_checks_is_done_again_in_the_whole_window(
    base: WhisperAsr, recording: Recording, encoded_frames: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = transcribed(base, recording(BRIDGE), language="en")
    encoded_frames.clear()
    monkeypatch.setattr("engines.whisper_window._MAX_COMPRESSION", 0.0)  # as if it had looped
    assert transcribed(base, recording(BRIDGE), language="en", trimmed=True).text == whole.text
    assert encoded_frames[0] < 3_000
    assert encoded_frames[-1] == 3_000


@pytest.mark.real
def test_with_an_exact_window_a_turn_is_recognised_as_faster_whisper_does_it(
    model_dir: ModelDir, libraries: dict[str, Any], recording: Recording, encoded_frames: list[int]
) -> None:
    engine = WhisperAsr(
        model_dir(EN), device="cpu", compute_type="int8", cpu_threads=1, max_batch=None, exact_window=True
    )
    try:
        found = transcribed(engine, recording(JFK), trimmed=True)
    finally:
        engine.close()
    assert set(encoded_frames) == {3_000}
    segments, _ = libraries[EN].transcribe(recording(JFK), condition_on_previous_text=False)
    assert found.text == "".join(segment.text for segment in segments).strip()


@pytest.mark.real
def test_turns_may_have_threads_of_their_own(
    model_dir: ModelDir, english: WhisperAsr, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    whisper: Any = cast("Any", ctranslate2).models.Whisper

    def spied(*given: Any, intra_threads: int, **others: Any) -> Any:
        made.append(intra_threads)
        return whisper(*given, intra_threads=intra_threads, **others)

    monkeypatch.setattr("ctranslate2.models.Whisper", spied)
    for turn_threads, threads in ((1, [2, 1]), (2, [2]), (None, [2])):
        made.clear()
        engine = WhisperAsr(
            model_dir(EN), device="cpu", compute_type="int8", cpu_threads=2, turn_threads=turn_threads, num_workers=2
        )
        try:
            assert made == threads
            inside = cast("Any", engine)
            models = {inside._model.model, inside._window._model.model}
            assert len(models) == len(threads)
            for trimmed in (True, False):
                text = transcribed(engine, recording(BRIDGE), trimmed=trimmed).text
                assert text == transcribed(english, recording(BRIDGE), trimmed=trimmed).text
        finally:
            engine.close()
        assert not any(model.model_is_loaded for model in models)


@pytest.mark.real
def test_audio_that_fills_the_window_is_not_trimmed(
    english: WhisperAsr, recording: Recording, encoded_frames: list[int]
) -> None:
    transcribed(english, np.tile(recording("ljspeech/LJ001-0001.flac"), 3), trimmed=True)
    assert set(encoded_frames) == {3_000}
