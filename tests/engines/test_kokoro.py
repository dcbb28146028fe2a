from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from engines.base import AsrJob, AsrOptions, Cancellation, Pronunciation, TtsJob
from engines.codec.resampler import resample
from engines.kokoro import KokoroTts, read_voices
from engines.kokoro_phonemes import ESPEAK_VOICES, SYMBOLS, to_symbols
from engines.loudness import TARGET_LUFS, integrated_lufs
from engines.whisper import WhisperAsr
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, SpokenWord
from schemas.transcripts import Transcript

MODEL = "kokoro-82m-v1.0-int8"
RATE_HZ = 24_000
CLAUSES = "Good morning, dear listeners, and welcome to the evening news, which are read in the morning."


@pytest.fixture(scope="module")
def folder(model_dir: Callable[[str], Path]) -> Path:
    return model_dir(MODEL)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[KokoroTts]:
    engine = KokoroTts(folder, threads=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def listener(model_dir: Callable[[str], Path]) -> Iterator[WhisperAsr]:
    listener = WhisperAsr(model_dir("whisper-base"), device="cpu", compute_type="int8", cpu_threads=2)
    yield listener
    listener.close()


def spoken(engine: KokoroTts, text: str, voice: str = "af_heart", *said: Pronunciation) -> list[SpeechChunk]:
    job = TtsJob(text=text, voice=voice, cancellation=Cancellation(), pronunciations=said)
    return list(engine.synthesize(job))


def joined(chunks: list[SpeechChunk]) -> Samples:
    return np.concatenate([chunk.samples for chunk in chunks])


def words_of(chunks: list[SpeechChunk]) -> list[SpokenWord]:
    return [word for chunk in chunks for word in chunk.words]


def heard(listener: WhisperAsr, samples: Samples, language: str) -> Transcript:
    options = AsrOptions(language=language, word_times=True, trimmed=True)
    job = AsrJob(
        samples=resample(samples, RATE_HZ, 16_000),
        options=options,
        cancellation=Cancellation(),
    )
    (found,) = listener.transcribe([job])
    assert isinstance(found, Transcript)
    return found


@pytest.mark.parametrize(
    ("language", "ipa", "symbols"),
    [
        ("en-US", "tʃˈɜːtʃ, dʒˈʌdʒ", "ʧˈɜɹʧ, ʤˈʌʤ"),
        ("en-US", "bˈɔɪ nˈaʊ mˈaɪ sˈeɪ ɡˈoʊ", "bˈY nˈW mˈI sˈA ɡˈO"),
        ("en-US", "wˈɔːɾɚ bˈʌʔn\u0329", "wˈɔTəɹ bˈʌtᵊn"),
        ("en-GB", "ðeə ɡˌəʊ hˈiə", "ðɛː ɡˌQ hˈɪə"),
        ("es", "el nˈiɲo xwˈeɣa", "el nˈiɲo xwˈeɣa"),
        ("fr", "bɔ̃ʒuʁ", "bɔ̃ʒuʁ"),
        ("it", "pˈitsa", "pˈiʦa"),
        ("hi", "☃ nəmˈʌsteː", " nəmˈʌsteː"),
    ],
)
def test_phonemes_become_the_symbols_it_was_trained_on(language: str, ipa: str, symbols: str) -> None:
    assert to_symbols(ipa, language) == symbols


def test_each_symbol_has_a_number_of_its_own() -> None:
    assert len(SYMBOLS) == len(set(SYMBOLS.values())) == 114
    assert 0 not in SYMBOLS.values()


@pytest.mark.real
class TestVoices:
    def test_voices_are_known_without_loading_anything(self, folder: Path) -> None:
        voices = read_voices(folder)
        assert len(voices) == 54
        assert {voice.language for voice in voices} == {*ESPEAK_VOICES, "ja", "zh"}
        heart = next(voice for voice in voices if voice.id == "af_heart")
        assert (heart.model, heart.name, heart.gender) == (MODEL, "heart", "female")

    def test_every_voice_speaks_and_no_two_alike(self, engine: KokoroTts) -> None:
        sounds = {voice.id: joined(spoken(engine, "Oh.", voice.id)) for voice in engine.voices}
        assert all(0.1 < len(samples) / RATE_HZ < 4.0 and np.abs(samples).max() > 0.02 for samples in sounds.values())
        assert len({samples.tobytes() for samples in sounds.values()}) == len(sounds)

    def test_a_mix_lies_between_its_voices(self, engine: KokoroTts) -> None:
        heart, emma = (joined(spoken(engine, "Hello.", voice)) for voice in ("af_heart", "bf_emma"))
        mixed = joined(spoken(engine, "Hello.", "af_heart:0.7+bf_emma:0.3"))
        assert not np.array_equal(mixed[:5_000], heart[:5_000])
        assert not np.array_equal(mixed[:5_000], emma[:5_000])
        alone = joined(spoken(engine, "Hello.", "af_heart:1+af_heart:1"))
        np.testing.assert_array_equal(alone, heart)


@pytest.mark.real
class TestSpeech:
    @pytest.mark.parametrize(
        ("voice", "text"),
        [
            ("af_heart", "The little bird sat on the old wall, and sang before the rain began."),
            ("bf_emma", "I would rather go there by train, because the weather is not good."),
            ("ef_dora", "Buenos días, me gustaría reservar una mesa para dos personas."),
            ("ff_siwis", "Bonjour, je voudrais réserver une table pour deux personnes."),
            ("if_sara", "Buongiorno, vorrei prenotare un tavolo per due persone."),
            ("pf_dora", "Bom dia, eu gostaria de reservar uma mesa para duas pessoas."),
        ],
    )
    def test_what_it_says_is_understood_and_words_lie_where_they_sound(
        self, engine: KokoroTts, listener: WhisperAsr, voice: str, text: str
    ) -> None:
        chunks = spoken(engine, text, voice)
        language = next(one.language for one in engine.voices if one.id == voice)[:2]
        transcript = heard(listener, joined(chunks), language)
        expected, understood = (re.findall(r"\w+", one.lower()) for one in (text, transcript.text))
        assert sum(word in understood for word in expected) >= len(expected) - 1
        if understood == expected:
            late_s = [
                theirs.start_s - ours.start_s for ours, theirs in zip(words_of(chunks), transcript.words, strict=False)
            ]
            assert abs(float(np.median(late_s))) < 0.2

    def test_hindi_is_spoken_in_its_script(self, engine: KokoroTts) -> None:
        chunks = spoken(engine, "नमस्ते, आज मौसम बहुत अच्छा है।", "hf_alpha")
        assert len(words_of(chunks)) == 6
        assert 1.0 < len(joined(chunks)) / RATE_HZ < 6.0

    def test_the_first_clause_comes_alone_and_pieces_grow(self, engine: KokoroTts) -> None:
        chunks = spoken(engine, CLAUSES)
        assert [word.text for word in chunks[0].words] == ["Good", "morning,"]
        lengths = [len(chunk.samples) for chunk in chunks]
        assert len(lengths) >= 3
        assert lengths[:-1] == sorted(lengths[:-1])

    def test_a_text_without_end_is_cut_between_words(self, engine: KokoroTts) -> None:
        chunks = spoken(engine, "word " * 150)
        assert len(words_of(chunks)) == 150
        assert len(chunks) > 2

    def test_it_is_as_loud_as_other_voices(self, engine: KokoroTts) -> None:
        assert integrated_lufs(joined(spoken(engine, CLAUSES)), RATE_HZ) == pytest.approx(TARGET_LUFS, abs=2.5)

    def test_a_word_sounds_as_it_is_to_be_said(self, engine: KokoroTts) -> None:
        told = spoken(engine, "a xyz came", "af_heart", Pronunciation(2, 5, "kˈɜːnəl"))
        other = spoken(engine, "a qqq came", "af_heart", Pronunciation(2, 5, "kˈɜːnəl"))
        np.testing.assert_array_equal(joined(told), joined(other))
        assert [word.text for word in words_of(told)] == ["a", "xyz", "came"]

    def test_a_symbol_it_does_not_know_is_named(self, engine: KokoroTts) -> None:
        with pytest.raises(SpeechError, match="'☃'") as raised:
            spoken(engine, "snow", "af_heart", Pronunciation(0, 4, "sn☃"))
        assert raised.value.code is ErrorCode.INVALID_REQUEST


class TestRefusal:
    def test_a_folder_without_voices_is_corrupt(self, tmp_path: Path) -> None:
        with pytest.raises(SpeechError) as raised:
            read_voices(tmp_path)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT

    @pytest.mark.real
    @pytest.mark.parametrize("damage", ["no graph", "no model", "short table"])
    def test_a_damaged_folder_is_corrupt(self, folder: Path, tmp_path: Path, damage: str) -> None:
        shutil.copytree(folder, tmp_path / MODEL)
        match damage:
            case "no graph":
                (tmp_path / MODEL / "kokoro-v1.0.int8.onnx").unlink()
            case "no model":
                (tmp_path / MODEL / "kokoro-v1.0.int8.onnx").write_bytes(b"no model")
            case _:
                (tmp_path / MODEL / "voices" / "af_alloy.bin").write_bytes(b"1234")
        with pytest.raises(SpeechError) as raised:
            KokoroTts(tmp_path / MODEL)
        assert raised.value.code is ErrorCode.MODEL_CORRUPT
