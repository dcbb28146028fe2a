from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from engines.base import Cancellation, Pronunciation, TtsJob
from engines.onnx_session import OnnxSession
from engines.piper import PiperTts, read_voice
from engines.vits_decoder import Frames, VitsDecoder, VitsStage
from engines.vits_graph import VitsParts, cut
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, SpokenWord, Voice

NAME = "piper-en_US-joe-medium"
VOICE = "en_US-joe-medium"
RATE_HZ = 22_050
LONG = "Well, the quick brown fox jumps over the lazy dog, and then it walks slowly back home to sleep."
"""One sentence of five seconds."""


@pytest.fixture(scope="module")
def steady(model_dir: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The voice with its randomness turned off: the same text always gives the same audio."""
    source = model_dir(NAME)
    folder = tmp_path_factory.mktemp("voices") / "steady"
    folder.mkdir()
    (folder / f"{VOICE}.onnx").symlink_to(source / f"{VOICE}.onnx")
    config = json.loads((source / f"{VOICE}.onnx.json").read_text("utf-8"))
    config["inference"] |= {"noise_scale": 0.0, "noise_w": 0.0}
    (folder / f"{VOICE}.onnx.json").write_text(json.dumps(config), "utf-8")
    return folder


@pytest.fixture(scope="module")
def engine(steady: Path) -> Iterator[PiperTts]:
    engine = PiperTts(steady)
    yield engine
    engine.close()


INPUTS = {
    "input": np.random.default_rng(7).integers(3, 100, (1, 150)),
    "input_lengths": np.array([150]),
    "scales": np.array([0.0, 1.0, 0.0], np.float32),
}


@pytest.fixture(scope="module")
def parts(steady: Path) -> VitsParts:
    return cut((steady / f"{VOICE}.onnx").read_bytes())


@pytest.fixture(scope="module")
def latents(parts: VitsParts) -> Frames:
    (latents,) = OnnxSession(parts.front).run((parts.latents,), INPUTS)
    return latents


@pytest.fixture(scope="module")
def flow(parts: VitsParts, latents: Frames) -> VitsStage:
    assert parts.flow is not None
    session = OnnxSession(parts.flow)
    return VitsStage(session, taken=parts.latents, made=parts.frames, mask=parts.mask, example=latents)


@pytest.fixture(scope="module")
def decoder(parts: VitsParts, flow: VitsStage, latents: Frames) -> VitsStage:
    assert parts.decoder is not None
    session = OnnxSession(parts.decoder)
    return VitsStage(session, taken=parts.frames, made=parts.audio, example=flow.run(latents))


def spoken(engine: PiperTts, text: str) -> list[SpeechChunk]:
    return list(engine.synthesize(TtsJob(text=text, voice=VOICE, cancellation=Cancellation())))


def joined(chunks: list[SpeechChunk]) -> Samples:
    return np.concatenate([chunk.samples for chunk in chunks])


def words_of(chunks: list[SpeechChunk]) -> list[SpokenWord]:
    return [word for chunk in chunks for word in chunk.words]


def level(samples: Samples, start_s: float, end_s: float) -> float:
    return float(np.sqrt(np.mean(samples[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)] ** 2)))


@pytest.mark.real
class TestSynthesis:
    @pytest.mark.parametrize(
        "text", ["Yes.", "The first sentence, with a clause. Is this the second? It costs $3.50!", LONG]
    )
    def test_the_chunks_joined_are_what_piper_makes_of_each_sentence_at_once(
        self, engine: PiperTts, steady: Path, text: str
    ) -> None:
        from piper import PiperVoice, SynthesisConfig  # noqa: PLC0415 (an extra)

        voice = PiperVoice.load(steady / f"{VOICE}.onnx")
        expected = list(voice.synthesize(text, SynthesisConfig(normalize_audio=False)))
        raw = np.concatenate([sentence.audio_float_array for sentence in expected])
        chunks = spoken(engine, text)
        # Piper rounds to 16 bits.
        np.testing.assert_allclose(joined(chunks), np.clip(raw * engine.gain, -1.0, 1.0), atol=1e-4)
        assert {chunk.sample_rate_hz for chunk in chunks} == {sentence.sample_rate for sentence in expected}

    def test_it_is_nearly_as_loud_as_piper_has_it(self, engine: PiperTts, steady: Path) -> None:
        from piper import PiperVoice  # noqa: PLC0415 (an extra)

        text = "Good morning. The weather in Berlin is cloudy, with a chance of rain. How can I help you today?"
        expected = PiperVoice.load(steady / f"{VOICE}.onnx").synthesize(text)
        theirs = np.concatenate([sentence.audio_float_array for sentence in expected])
        ours = joined(spoken(engine, text))
        assert abs(20 * np.log10(np.std(ours) / np.std(theirs))) < 4
        assert np.mean(np.abs(ours) >= 1.0) < 1e-3

    def test_words_lie_where_they_sound(self, engine: PiperTts) -> None:
        chunks = spoken(engine, "Seven horses, seven wagons.")
        words, samples = words_of(chunks), joined(chunks)
        assert [word.text for word in words] == ["Seven", "horses,", "seven", "wagons."]
        pause_s = (words[1].end_s, words[2].start_s)
        assert pause_s[1] - pause_s[0] > 0.1
        quiet = max(level(samples, *pause_s), level(samples, words[-1].end_s, len(samples) / RATE_HZ))
        assert all(level(samples, word.start_s, word.end_s) > 3 * quiet for word in words)

    def test_a_word_lasts_as_long_as_its_own_sounds(self, engine: PiperTts) -> None:
        words = words_of(spoken(engine, "I see incomprehensibilities there"))
        lengths_s = {word.text: word.end_s - word.start_s for word in words}
        assert lengths_s["incomprehensibilities"] > 3 * max(lengths_s["I"], lengths_s["see"], lengths_s["there"])

    def test_numbers_and_abbreviations_last_as_long_as_they_are_read(self, engine: PiperTts) -> None:
        text = "Dr. Smith paid $3.50 in 2024 for the U.S. book; of the — many!"
        words = words_of(spoken(engine, text))
        assert [(word.text_start, word.text_end) for word in words] == [
            each.span() for each in re.finditer(r"\S+", text)
        ]
        lengths_s = {word.text: word.end_s - word.start_s for word in words}
        assert lengths_s["—"] == 0.0
        assert min(lengths_s["$3.50"], lengths_s["2024"]) > 2 * lengths_s["paid"]

    def test_a_sentence_without_end_is_cut_between_words(self, engine: PiperTts) -> None:
        text = "seventeen wonderful elephants " * 26
        chunks = spoken(engine, text)
        first_samples = len(chunks[0].samples)
        assert [len(chunk.samples) for chunk in chunks].count(first_samples) == 2  # each piece begins with such a chunk
        assert [word.text for word in words_of(chunks)] == text.split()

    def test_a_word_without_end_is_cut_anywhere(self, engine: PiperTts) -> None:
        text = "ah" * 400
        (word,) = words_of(spoken(engine, text))
        assert word.text == text


@pytest.mark.real
class TestPronunciation:
    """What is said as phonemes say, whatever the spelling."""

    def spoken_as(self, engine: PiperTts, text: str, *pronunciations: Pronunciation) -> list[SpeechChunk]:
        job = TtsJob(text=text, voice=VOICE, cancellation=Cancellation(), pronunciations=pronunciations)
        return list(engine.synthesize(job))

    def test_a_word_sounds_as_it_is_to_be_said(self, engine: PiperTts) -> None:
        as_told = self.spoken_as(engine, "a colonel came", Pronunciation(2, 9, "kɚnəl"))
        assert len(joined(as_told)) != len(joined(spoken(engine, "a colognel came")))
        other = self.spoken_as(engine, "a xyz came", Pronunciation(2, 5, "kɚnəl"))
        np.testing.assert_array_equal(joined(as_told), joined(other))
        assert [word.text for word in words_of(as_told)] == ["a", "colonel", "came"]
        assert [word.text for word in words_of(other)] == ["a", "xyz", "came"]
        assert [word.start_s for word in words_of(as_told)] == [word.start_s for word in words_of(other)]

    def test_its_words_have_their_own_times(self, engine: PiperTts) -> None:
        words = words_of(self.spoken_as(engine, "say X now, please", Pronunciation(4, 5, "ɛkstɹəˈɔːɹdɪnɛɹi")))
        lasts_s = {word.text: word.end_s - word.start_s for word in words}
        assert lasts_s["X"] > lasts_s["say"] + lasts_s["now,"]

    def test_a_phrase_lasts_as_long_as_its_first_word(self, engine: PiperTts) -> None:
        words = words_of(self.spoken_as(engine, "in New York today", Pronunciation(3, 11, "nuːjɔːɹk")))
        assert [word.text for word in words] == ["in", "New", "York", "today"]
        assert words[1].end_s > words[1].start_s
        assert words[2].end_s == words[2].start_s

    def test_a_symbol_the_voice_does_not_know_is_named(self, engine: PiperTts) -> None:
        with pytest.raises(SpeechError, match="'☃'") as raised:
            self.spoken_as(engine, "snow", Pronunciation(0, 4, "sn☃"))
        assert raised.value.code is ErrorCode.INVALID_REQUEST

    def test_brackets_in_the_text_are_no_phonemes(self, engine: PiperTts) -> None:
        bracketed = joined(self.spoken_as(engine, "say [[h]] now"))
        np.testing.assert_array_equal(bracketed, joined(spoken(engine, "say  h  now")))


@pytest.mark.real
class TestStreaming:
    """A sentence is heard while the rest of it is made."""

    def test_its_first_chunk_is_a_fifth_of_a_second_and_the_others_grow(self, engine: PiperTts) -> None:
        lengths_s = [len(chunk.samples) / RATE_HZ for chunk in spoken(engine, LONG)]
        assert 0.15 < lengths_s[0] < 0.2
        assert len(lengths_s) >= 4
        assert lengths_s[:-1] == sorted(lengths_s[:-1])
        assert max(lengths_s) < 2.5

    def test_a_word_is_in_the_chunk_it_starts_in(self, engine: PiperTts) -> None:
        chunks = spoken(engine, LONG)
        ends_s = np.cumsum([len(chunk.samples) for chunk in chunks]) / RATE_HZ
        for chunk, start_s, end_s in zip(chunks, [0.0, *ends_s], ends_s, strict=False):
            assert all(start_s <= word.start_s < end_s for word in chunk.words)
        assert [word.text for word in words_of(chunks)] == LONG.split()
        assert len([chunk for chunk in chunks if chunk.words]) >= 3

    def test_cancelled_within_a_sentence_it_decodes_no_more_of_it(
        self, engine: PiperTts, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        decoded_frames: list[int] = []
        window = VitsStage.window

        def counted(stage: VitsStage, frames: Frames, start: int, end: int) -> Frames:
            if stage.per_frame > 1:
                decoded_frames.append(end - start)
            return window(stage, frames, start, end)

        monkeypatch.setattr(VitsStage, "window", counted)
        cancellation = Cancellation()
        chunks = engine.synthesize(TtsJob(text=LONG, voice=VOICE, cancellation=cancellation))
        next(chunks)
        next(chunks)
        cancellation.cancel()
        with pytest.raises(SpeechError) as raised:
            next(chunks)
        assert raised.value.code is ErrorCode.CANCELLED
        assert decoded_frames == [16, 32]

    def test_a_voice_that_cannot_be_cut_speaks_the_same_a_sentence_at_a_time(
        self, engine: PiperTts, steady: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("engines.vits_graph._BETWEEN_CONVOLUTIONS", frozenset[str]())
        with capture_logs() as logs:
            whole = PiperTts(steady)
        assert [entry["event"] for entry in logs] == ["voice_not_streamed"]
        text = "It is one chunk. And this is another!"
        chunks = spoken(whole, text)
        whole.close()
        assert len(chunks) == 2
        expected = spoken(engine, text)
        np.testing.assert_allclose(joined(chunks), joined(expected), atol=1e-4)
        assert words_of(chunks) == words_of(expected)


@pytest.mark.real
class TestParts:
    """What of the graph runs in windows."""

    def test_they_hold_each_weight_once(self, parts: VitsParts, steady: Path) -> None:
        assert parts.flow is not None
        assert parts.decoder is not None
        size_bytes = (steady / f"{VOICE}.onnx").stat().st_size
        assert 0.98 * size_bytes < len(parts.front) + len(parts.flow) + len(parts.decoder) < 1.02 * size_bytes

    def test_the_reach_of_a_frame_is_short(self, flow: VitsStage, decoder: VitsStage) -> None:
        assert (flow.context_frames, flow.per_frame) == (32, 1)
        assert (decoder.context_frames, decoder.per_frame) == (11, 256)

    def test_in_windows_they_make_what_the_uncut_graph_makes(
        self, steady: Path, flow: VitsStage, decoder: VitsStage, latents: Frames
    ) -> None:
        (whole,) = OnnxSession(steady / f"{VOICE}.onnx").run(("output",), INPUTS)
        windows = list(VitsDecoder(decoder, flow).windows(latents))
        assert len(windows) > 3
        np.testing.assert_allclose(np.concatenate(windows), whole.reshape(-1), atol=1e-5)

    @settings(max_examples=20)
    @given(data=st.data())
    def test_wherever_windows_end_they_join_to_the_whole(
        self, flow: VitsStage, decoder: VitsStage, latents: Frames, data: st.DataObject
    ) -> None:
        start = data.draw(st.integers(0, latents.shape[2] - 1))
        some = np.ascontiguousarray(latents[:, :, start : start + data.draw(st.integers(1, 250))])
        both = VitsDecoder(decoder, flow)
        np.testing.assert_allclose(np.concatenate(list(both.windows(some))), both.decode(some), atol=1e-5)


@pytest.mark.real
class TestVoice:
    def test_its_id_and_language_come_from_the_file(self, model_dir: Callable[[str], Path]) -> None:
        assert read_voice(model_dir(NAME)) == Voice(VOICE, NAME, "en-US", RATE_HZ, name="joe")

    def test_the_engine_has_that_voice(self, engine: PiperTts) -> None:
        assert [voice.id for voice in engine.voices] == [VOICE]


class TestRefusal:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "xx_YY-nobody-low.onnx").write_bytes(b"no model")
        (tmp_path / "xx_YY-nobody-low.onnx.json").write_text('{"audio": {"sample_rate": 16000}}', "utf-8")
        return tmp_path

    def test_without_piper_the_extra_is_named(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "piper", None)
        with pytest.raises(SpeechError, match=r"pip install 'antiphon\[piper\]'") as raised:
            PiperTts(folder)
        assert raised.value.code is ErrorCode.MISSING_EXTRA

    @pytest.mark.parametrize("damage", ["two voices", "no configuration", "broken configuration"])
    def test_a_folder_that_is_no_voice_is_corrupt(self, folder: Path, damage: str) -> None:
        config = folder / "xx_YY-nobody-low.onnx.json"
        match damage:
            case "two voices":
                (folder / "second.onnx.json").write_bytes(config.read_bytes())
            case "no configuration":
                config.unlink()
            case _:
                config.write_text("{", "utf-8")
        with pytest.raises(SpeechError) as raised:
            read_voice(folder)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT
        assert str(folder.parent) not in raised.value.message

    @pytest.mark.parametrize("there", [True, False])
    def test_a_graph_that_is_no_vits_model_or_is_not_there_is_corrupt(self, folder: Path, *, there: bool) -> None:
        pytest.importorskip("piper")
        if not there:
            (folder / "xx_YY-nobody-low.onnx").unlink()
        with pytest.raises(SpeechError) as raised:
            PiperTts(folder)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT


def test_importing_the_adapter_imports_nothing_under_the_gpl() -> None:
    code = "import sys, engines.piper; sys.exit('piper' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
