"""Kokoro-82M (StyleTTS 2 by ONNX Runtime; phonemes by espeak-ng, of Chinese and Japanese by libraries of their own).

The model makes all it is given at once, so it is given a sentence clause by clause: the first is short, because
somebody waits for it, and each may be longer than the one before, which plays meanwhile. How long each symbol lasts,
which tells where words lie, the graph keeps to itself; here it becomes an output.

A voice is a table of styles, one for each number of symbols; voices are mixed by mixing their tables. They are as loud
as the others of this server as they are: -19.8 to -22.3 LUFS, measured on three of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from engines.base import Lanes, Pronunciation, TtsJob
from engines.espeak import Espeak, decomposed, marked, speakable
from engines.japanese import JapaneseReader
from engines.kokoro_phonemes import ESPEAK_VOICES, SYMBOLS, to_symbols
from engines.mandarin import MandarinReader
from engines.onnx_graph import OnnxGraph
from engines.onnx_session import OnnxSession
from engines.phoneme_cache import PhonemeCache
from engines.unspaced import Reader, read
from engines.voice_mix import parse_mix
from engines.word_alignment import WordAligner, is_sound
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, SpokenWord, Voice

RATE_HZ: Final = 24_000
_GRAPH: Final = "kokoro-v1.0.int8.onnx"
_DURATIONS: Final = "/encoder/Clip_output_0"
"""Of the graph: ``float32``, how many frames each symbol lasts."""
_FRAME_SAMPLES: Final = 600
_MAX_SYMBOLS: Final = 510
"""At once: so many styles has a voice's table."""
_STYLE_VALUES: Final = 256
_TABLE_BYTES: Final = 4 * _MAX_SYMBOLS * _STYLE_VALUES
_FIRST_SYMBOLS: Final = 12
"""Of the first piece at least: a second of speech, about."""
_FIRST_SYMBOLS_MOST: Final = 24
"""Of the first piece, if there is a place between words to cut it: somebody waits for it."""
_GROWTH: Final = 1.5
"""Of a piece over the one before: speech takes a third to two thirds of its length to make."""
_SILENT_FRAMES: Final = 2
"""Kept of the silence before the first symbol of a piece and after its last: 50 ms."""
_FADE_SAMPLES: Final = 120
"""5 ms, at both ends of a piece: the silence there is not quite silent."""
_MAX_TABLES: Final = 64
"""Voices and mixes whose tables, half a megabyte each, are in memory."""
_SPACED_LANGUAGES: Final = {"a": "en-US", "b": "en-GB", "e": "es", "f": "fr", "h": "hi", "i": "it", "p": "pt-BR"}
_UNSPACED_LANGUAGES: Final = {"j": "ja", "z": "zh"}
"""By the first letter of a voice's name. These want phonemes that espeak-ng has not, and an extra each."""
_GENDERS: Final = {"f": "female", "m": "male"}
_CLAUSE_END: Final = re.compile(r"(?<=[;:,.!?—…]) ")

Table = NDArray[np.float32]
"""``(510, 1, 256)``: the styles of a voice."""


class KokoroTts:
    """Speech synthesis with the voices of Kokoro, and mixes of them.

    Args:
        model_dir: Folder with the graph and ``voices/*.bin``.
        threads: Threads one synthesis computes with.
        workers: Syntheses at once.

    Raises:
        SpeechError: ``missing_extra`` without piper-tts, or ``model_corrupt``.
    """

    def __init__(self, model_dir: Path, *, threads: int = 1, workers: int = 2) -> None:
        self.lanes = Lanes(workers)
        self.voices = read_voices(model_dir)
        self._folder = model_dir
        self._languages = {voice.id: voice.language for voice in self.voices}
        self._phonemise = {
            language: PhonemeCache(partial(_symbols, Espeak(name), language))
            for language, name in ESPEAK_VOICES.items()
        }
        self._readers: dict[str, Reader] = {}
        self._reading = Lock()
        self._tables: LRUCache[str, Table] = LRUCache(_MAX_TABLES)
        try:
            graph = OnnxGraph((model_dir / _GRAPH).read_bytes())
            (self._audio,) = graph.outputs
            self._session = OnnxSession(graph.part(self._audio, _DURATIONS), threads=threads)
        except (OSError, ValueError):
            raise _corrupt(model_dir) from None

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        """A chunk for each clause or few; none if the text holds nothing to say. See :class:`engines.base.Tts`.

        Raises:
            SpeechError: ``invalid_request`` for a pronunciation with symbols that Kokoro has not, ``missing_extra`` for
                Chinese and Japanese without the libraries that read them.
        """
        table = self._table(job.voice)
        language = self._languages[parse_mix(job.voice)[0][0]]
        _check(job.pronunciations, language)
        if language in ESPEAK_VOICES:
            phonemise = partial(self._spoken, job, language)
            pieces = list(_pieces(phonemise(0, len(job.text))))
            aligner = WordAligner(job.text, phonemise)
        else:
            said = self._read_words(job, language)
            pieces = list(_pieces(" ".join(said.values())))
            aligner = WordAligner(job.text, lambda start, end: said[start, end], said)
        spoken_samples = 0
        for number, symbols in enumerate(pieces, start=1):
            job.cancellation.check()
            samples, edges = self._run(symbols, table, job.speed)
            seconds = (spoken_samples + edges) / RATE_HZ
            spoken_samples += len(samples)
            words = tuple(
                SpokenWord(
                    text=word.text,
                    text_start=word.text_start,
                    text_end=word.text_end,
                    start_s=float(seconds[word.first]),
                    end_s=float(seconds[word.end]),
                )
                for word in aligner.place(symbols, is_last=number == len(pieces))
            )
            yield SpeechChunk(np.clip(samples, -1.0, 1.0), RATE_HZ, words)
        job.cancellation.check()

    def close(self) -> None:
        """Free the model's memory."""
        del self._session, self._tables

    def _spoken(self, job: TtsJob, language: str, start: int, end: int) -> str:
        """The symbols of a stretch of text."""
        text = marked(job.text, job.pronunciations, start, end)
        return " ".join("".join(sentence) for sentence in self._phonemise[language](text))

    def _read_words(self, job: TtsJob, language: str) -> dict[tuple[int, int], str]:
        """The symbols of each word, by its span, of a language without spaces."""
        with self._reading:
            reader = self._readers.get(language)
            if reader is None:
                reader = JapaneseReader() if language == "ja" else MandarinReader(self._foreign)
                self._readers[language] = reader
            told = [
                Pronunciation(one.start, one.end, to_symbols(decomposed(one.ipa), language))
                for one in job.pronunciations
            ]
            return {(word.start, word.end): word.symbols for word in read(job.text, reader, told)}

    def _foreign(self, word: str) -> str:
        """The symbols of an English word in a Chinese text."""
        return "".join("".join(sentence) for sentence in self._phonemise["en-US"](speakable(word)))

    def _table(self, voice: str) -> Table:
        table = self._tables.get(voice)
        if table is None:
            parts = [np.float32(share) * self._read_table(name) for name, share in parse_mix(voice)]
            table = np.stack(parts).sum(axis=0)
            self._tables[voice] = table
        return table

    def _read_table(self, voice: str) -> Table:
        try:
            values = np.fromfile(self._folder / "voices" / f"{voice}.bin", np.float32)
            return values.reshape(_MAX_SYMBOLS, 1, _STYLE_VALUES)
        except (OSError, ValueError):
            raise _corrupt(self._folder) from None

    def _run(self, symbols: str, table: Table, speed: float) -> tuple[Samples, NDArray[np.int64]]:
        """The audio of a piece, and where in it each symbol begins: ``int64, (n + 1,)``, samples; the last ends it."""
        numbers = [0, *(SYMBOLS[symbol] for symbol in symbols), 0]
        audio, lengths = self._session.run(
            (self._audio, _DURATIONS),
            {
                "tokens": np.array([numbers], np.int64),
                "style": table[len(symbols) - 1],
                "speed": np.array([speed], np.float32),
            },
        )
        ends = np.cumsum(lengths.reshape(-1)).astype(np.int64)
        first, last = ends[0], ends[-2]
        begin, end = max(0, first - _SILENT_FRAMES), min(ends[-1], last + _SILENT_FRAMES)
        samples = audio.reshape(-1)[begin * _FRAME_SAMPLES : end * _FRAME_SAMPLES].copy()
        fade = np.linspace(0.0, 1.0, min(_FADE_SAMPLES, len(samples) // 2), dtype=np.float32)
        samples[: len(fade)] *= fade
        samples[len(samples) - len(fade) :] *= fade[::-1]
        return samples, (ends[:-1] - begin) * _FRAME_SAMPLES


def read_voices(model_dir: Path) -> tuple[Voice, ...]:
    """The voices in a folder, without loading anything: those of Chinese and Japanese with or without their extras.

    Raises:
        SpeechError: ``model_corrupt``.
    """
    tables = sorted((model_dir / "voices").glob("[a-z][fm]_*.bin"))
    if any(table.stat().st_size != _TABLE_BYTES for table in tables):
        raise _corrupt(model_dir)
    languages = _SPACED_LANGUAGES | _UNSPACED_LANGUAGES
    voices = tuple(
        Voice(
            id=name,
            model=model_dir.name,
            language=languages[name[0]],
            sample_rate_hz=RATE_HZ,
            name=name[3:],
            gender=_GENDERS[name[1]],
            can_be_mixed=True,
        )
        for name in (table.stem for table in tables)
        if name[0] in languages
    )
    if not voices:
        raise _corrupt(model_dir)
    return voices


def _symbols(phonemise: Callable[[str], Sequence[Sequence[str]]], language: str, text: str) -> list[list[str]]:
    return [list(to_symbols("".join(sentence), language)) for sentence in phonemise(text)]


def _pieces(symbols: str) -> Iterator[str]:
    """The first clause, or the beginning of a long one, and more at a time the longer somebody has been listening."""
    rest, least, most = symbols.strip(), _FIRST_SYMBOLS, _FIRST_SYMBOLS_MOST
    while rest:
        cut = _cut(rest, least, most)
        piece, rest = rest[:cut].rstrip(), rest[cut:].lstrip()
        if any(map(is_sound, piece)):
            yield piece
            least, most = len(piece), min(round(_GROWTH * max(len(piece), most)), _MAX_SYMBOLS // 2)


def _cut(symbols: str, least: int, most: int) -> int:
    """Where to cut: behind the first clause that is long enough, else between words, else anywhere."""
    if len(symbols) <= most + _FIRST_SYMBOLS:  # a few symbols alone would sound cut off
        return len(symbols)
    for clause_end in _CLAUSE_END.finditer(symbols, least, most + 1):
        return clause_end.start()
    space = symbols.rfind(" ", 1, most + 1)
    return space if space > 0 else most


def _check(pronunciations: Sequence[Pronunciation], language: str) -> None:
    for one in pronunciations:
        for symbol in decomposed(one.ipa):
            if not symbol.isspace() and not to_symbols(symbol, language) and symbol not in _JOINED:
                raise SpeechError(
                    ErrorCode.INVALID_REQUEST,
                    f"Kokoro does not know the symbol {symbol!r} in the pronunciation {one.ipa[:64]!r}. "
                    f"It knows: {' '.join(symbol for symbol in SYMBOLS if is_sound(symbol))}",
                    param="ipa",
                )


_JOINED: Final = frozenset("\u0303\u0329\u032a\u0327\u0361ʲːg")
"""Known together with other symbols, or to some languages only."""


def _corrupt(model_dir: Path) -> SpeechError:
    return SpeechError(
        ErrorCode.MODEL_CORRUPT,
        f"The files of the model {model_dir.name} are not those of Kokoro. "
        f"Run: antiphon models pull {model_dir.name} --force",
        param="model",
    )
