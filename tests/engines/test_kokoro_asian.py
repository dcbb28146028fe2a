"""Kokoro in Chinese and Japanese: how texts are read, and whether what it says is understood."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jiwer import cer

from engines.base import AsrJob, AsrOptions, Cancellation, Pronunciation, TtsJob
from engines.codec.resampler import resample
from engines.japanese import JapaneseReader, to_symbols
from engines.kokoro import KokoroTts
from engines.kokoro_phonemes import SYMBOLS
from engines.mandarin import MandarinReader
from engines.speech_pipeline import Script, speak
from engines.unspaced import Reader, read
from engines.whisper import WhisperAsr
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import LexiconEntry, SpeechChunk, SpeechOptions, SpokenWord
from schemas.transcripts import Transcript

RATE_HZ = 24_000
CHINESE = "zf_xiaobei"
JAPANESE = "jf_alpha"
MAX_CER = 0.35
"""Homophones and 9 for 九 count as errors."""
MAX_SOUND_ERRORS = 0.2
"""Of the phonemes of what Whisper wrote, in whichever script."""
PROMPTS = {"zh": "以下是普通话的句子。"}
"""Makes Whisper write simplified characters: "Mandarin sentences follow"."""


@pytest.fixture(scope="module")
def chinese() -> Reader:
    return MandarinReader(lambda word: f"({word})")


@pytest.fixture(scope="module")
def japanese() -> Reader:
    return JapaneseReader()


@pytest.fixture(scope="module")
def engine(model_dir: Callable[[str], Path]) -> Iterator[KokoroTts]:
    engine = KokoroTts(model_dir("kokoro-82m-v1.0-int8"), threads=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def listener(model_dir: Callable[[str], Path]) -> Iterator[WhisperAsr]:
    listener = WhisperAsr(model_dir("whisper-base"), device="cpu", compute_type="int8", cpu_threads=2)
    yield listener
    listener.close()


def said(text: str, reader: Reader, *told: Pronunciation) -> list[tuple[str, str]]:
    return [(text[word.start : word.end], word.symbols) for word in read(text, reader, told)]


def spoken(engine: KokoroTts, text: str, voice: str, *told: Pronunciation) -> list[SpeechChunk]:
    job = TtsJob(text=text, voice=voice, cancellation=Cancellation(), pronunciations=told)
    return list(engine.synthesize(job))


def sounds(text: str, reader: Reader) -> str:
    return "".join(symbols for _, symbols in said(plain(text), reader))


def joined(chunks: list[SpeechChunk]) -> Samples:
    return np.concatenate([chunk.samples for chunk in chunks])


def words_of(chunks: list[SpeechChunk]) -> list[SpokenWord]:
    return [word for chunk in chunks for word in chunk.words]


def heard(listener: WhisperAsr, samples: Samples, language: str) -> Transcript:
    job = AsrJob(
        samples=resample(samples, RATE_HZ, 16_000),
        options=AsrOptions(language=language, prompt=PROMPTS.get(language), word_times=True),
        cancellation=Cancellation(),
    )
    (found,) = listener.transcribe([job])
    assert isinstance(found, Transcript)
    return found


def plain(text: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFKC", text) if char.isalnum())


class TestChinese:
    def test_words_are_read_with_the_signs_around_them(self, chinese: Reader) -> None:
        assert said("“你好！”他说：《红楼梦》很好。", chinese) == [
            ("“你好！”", "“ni↓xau↓!”"),
            ("他", "tʰa→"),
            ("说：", "ʂwo→:"),
            ("《红楼梦》", "“xʊ↗ŋlou↗mə↘ŋ”"),
            ("很", "xə↓n"),
            ("好。", "xau↓."),
        ]

    @pytest.mark.parametrize(
        ("written", "same"),
        [
            ("2024年", "二零二四年"),
            ("24年", "二十四年"),
            ("2个", "两个"),
            ("1,234.05", "一千二百三十四点零五"),
            ("５０％", "百分之五十"),
            ("10:05", "十点零五分"),
            ("2:00", "两点整"),
            ("12:30", "十二点三十分"),
            ("007", "零零七"),
            ("13912345678", "一三九一二三四五六七八"),
        ],
    )
    def test_numbers_are_read_as_they_are_written_out(self, chinese: Reader, written: str, same: str) -> None:
        symbols = ["".join(part for _, part in said(text, chinese)).replace(" ", "") for text in (written, same)]
        assert symbols[0] == symbols[1] != ""

    def test_other_letters_are_read_by_another_reader_and_stay_one_word(self, chinese: Reader) -> None:
        assert said("用iPhone 15 Pro打", chinese) == [
            ("用", "jʊ↘ŋ"),
            ("iPhone", "(iPhone)"),
            ("15", "ʂɨ↗u↓"),
            ("Pro", "(Pro)"),
            ("打", "ta↓"),
        ]
        assert said("A1", chinese) == [("A1", "(A) i→")]

    def test_interjections_and_sibilants_have_sounds_of_their_own(self, chinese: Reader) -> None:
        assert said("嗯，哦，知", chinese)[:2] == [("嗯，", "ə↘n,"), ("哦，", "ɔ↗,")]
        assert [symbols for _, symbols in said("知 字 日", chinese)] == ["ꭧɨ→", "ʦɨ↘", "ɻɨ↘"]

    def test_without_its_libraries_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "rjieba", None)
        with pytest.raises(SpeechError, match=r"pip install 'antiphon\[kokoro-zh\]'") as raised:
            MandarinReader(str)
        assert raised.value.code is ErrorCode.MISSING_EXTRA


class TestJapanese:
    def test_particles_and_endings_belong_to_their_words(self, japanese: Reader) -> None:
        assert said("「新聞」を読んだ！ 東京へ行きました。", japanese) == [
            ("「新聞」", "“ɕimbɯɴ”"),
            ("を", "o"),
            ("読んだ！", "joɴ da!"),
            ("東京へ", "toːkʲoː e"),
            ("行きました。", "ikʲi maɕi ta."),
        ]

    def test_numbers_are_words_of_the_text(self, japanese: Reader) -> None:
        assert said("1,234円です。", japanese) == [("1,234円です。", "seɴ ɲi çakɯ saɴ ʥɨː jo eɴ desɨ.")]
        assert said("10月1日", japanese) == [("10月", "ʥɨːɡaʦɨ"), ("1日", "ʦɨitaʨi")]

    @pytest.mark.parametrize(
        ("kana", "symbols"),
        [
            ("コンピューター", "kompʲɨːtaː"),
            ("ニッポンゴ", "ɲiʔpoŋɡo"),
            ("ヴァイオリン", "vaioɾʲiɴ"),
            ("フィンランド", "ɸʲinɾando"),
            ("ウィスキー", "βisɨkʲiː"),
            ("チェック", "ʨeʔkɯ"),
            ("デス’", "desɨ"),
            ("スィ", "si"),
            ("ァャン☃", "ajaɴ"),
        ],
    )
    def test_kana_become_the_symbols_it_was_trained_on(self, kana: str, symbols: str) -> None:
        assert to_symbols(kana) == symbols

    def test_without_its_library_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyopenjtalk", None)
        with pytest.raises(SpeechError, match=r"pip install 'antiphon\[kokoro-ja\]'") as raised:
            JapaneseReader()
        assert raised.value.code is ErrorCode.MISSING_EXTRA


TEXTS = st.text(
    st.sampled_from("你好的儿二日本語はがっ東京ーンﾃﾞ𠮟〇10.,:%-ａ１aIé'「」“”。、！？…（ \u3000\n😀々"), max_size=40
)


@pytest.mark.filterwarnings("ignore:Dictionary.create:DeprecationWarning")  # pyopenjtalk-plus of SudachiPy
@pytest.mark.parametrize("load", [lambda: MandarinReader(lambda _: "ə"), JapaneseReader], ids=["chinese", "japanese"])
def test_words_are_the_texts_own_in_order_and_every_symbol_is_known(load: Callable[[], Reader]) -> None:
    reader = load()

    @given(TEXTS)
    def check(text: str) -> None:
        words = read(text, reader)
        offsets = [offset for word in words for offset in (word.start, word.end)]
        assert offsets == sorted(offsets)
        assert all(word.start < word.end <= len(text) for word in words)
        if words:
            covered = {place for word in words for place in range(word.start, word.end)}
            assert all(char.isspace() for place, char in enumerate(text) if place not in covered)
        assert {symbol for word in words for symbol in word.symbols} <= set(SYMBOLS)

    check()


@pytest.mark.real
class TestSpeech:
    @pytest.mark.parametrize("voice", ["zf_xiaobei", "zf_xiaoxiao", "zm_yunjian", "zm_yunxia"])
    def test_chinese_is_understood(self, engine: KokoroTts, listener: WhisperAsr, voice: str) -> None:
        for text in ("今天天气很好，我们去公园散步吧。", "图书馆在学校的旁边，每天早上九点开门。"):
            transcript = heard(listener, joined(spoken(engine, text, voice)), "zh")
            assert cer(plain(text), plain(transcript.text)) <= MAX_CER

    @pytest.mark.parametrize("voice", ["jf_alpha", "jf_nezumi", "jm_kumo"])
    def test_japanese_is_understood(
        self, engine: KokoroTts, listener: WhisperAsr, japanese: Reader, voice: str
    ) -> None:
        for text in ("今日はとても天気がいいですね。", "すみません、駅までどうやって行けばいいですか？"):
            transcript = heard(listener, joined(spoken(engine, text, voice)), "ja")
            assert cer(sounds(text, japanese), sounds(transcript.text, japanese)) <= MAX_SOUND_ERRORS

    @pytest.mark.parametrize(
        ("voice", "text", "words"),
        [
            (CHINESE, "图书馆在学校，九点开门。", ["图书馆", "在", "学校，", "九点", "开门。"]),
            (JAPANESE, "明日の朝、東京へ行きます。", ["明日の", "朝、", "東京へ", "行きます。"]),
        ],
    )
    def test_words_lie_where_they_sound(self, engine: KokoroTts, voice: str, text: str, words: list[str]) -> None:
        chunks = spoken(engine, text, voice)
        found = words_of(chunks)
        assert [word.text for word in found] == words
        times = [time_s for word in found for time_s in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert 0.0 <= times[0] < 0.2
        assert times[-1] <= len(joined(chunks)) / RATE_HZ

    def test_word_times_are_those_that_are_heard(self, engine: KokoroTts, listener: WhisperAsr) -> None:
        chunks = spoken(engine, "图书馆在学校的旁边，每天早上九点开门。", "zm_yunjian")
        morning = next(word for word in words_of(chunks) if word.text == "早上")
        found = heard(listener, joined(chunks), "zh").words
        assert min(abs(word.start_s - morning.start_s) for word in found) < 0.25

    def test_a_clause_ends_at_wide_punctuation(self, engine: KokoroTts) -> None:
        chunks = spoken(engine, "早上好，亲爱的听众朋友们：欢迎收听今天的晚间新闻！", CHINESE)
        assert len(chunks) >= 2
        assert [word.text for word in chunks[0].words][-1][-1] in "，："

    def test_a_word_sounds_as_it_is_to_be_said(self, engine: KokoroTts) -> None:
        told = spoken(engine, "我爱重庆。", CHINESE, Pronunciation(2, 4, "tʂʰʊŋ˧˥tɕʰiŋ˥˩"))
        other = spoken(engine, "我爱北京。", CHINESE, Pronunciation(2, 4, "tʂʰʊŋ˧˥tɕʰiŋ˥˩"))
        np.testing.assert_array_equal(joined(told), joined(other))
        assert [word.text for word in words_of(told)] == ["我", "爱", "重庆。"]
        with pytest.raises(SpeechError, match="'☃'") as raised:
            spoken(engine, "雪", JAPANESE, Pronunciation(0, 1, "jɯ☃"))
        assert raised.value.code is ErrorCode.INVALID_REQUEST

    def test_english_among_chinese_is_read_as_english(self, engine: KokoroTts) -> None:
        chunks = spoken(engine, "他说Python很好。", CHINESE)
        assert [word.text for word in words_of(chunks)] == ["他", "说", "Python", "很", "好。"]

    def test_words_of_a_whole_text_are_its_own(self, engine: KokoroTts) -> None:
        text = "**你好**。我在 重庆，2024年！"
        voice = next(voice for voice in engine.voices if voice.id == CHINESE)
        options = SpeechOptions(lexicon=(LexiconEntry(word="重庆", say="崇庆山城"),))
        chunks = list(speak(engine, Script(text, voice.language, options), voice, Cancellation()))
        words = words_of(chunks)
        assert [word.text for word in words] == ["**你好**。", "我", "在", "重庆，", "2024", "年！"]
        assert all(text[word.text_start : word.text_end] == word.text for word in words)

    def test_without_the_extra_other_languages_are_spoken(
        self, model_dir: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "rjieba", None)
        engine = KokoroTts(model_dir("kokoro-82m-v1.0-int8"))
        assert spoken(engine, "Oh.", "af_heart")
        with pytest.raises(SpeechError) as raised:
            spoken(engine, "好。", CHINESE)
        assert raised.value.code is ErrorCode.MISSING_EXTRA
        engine.close()
