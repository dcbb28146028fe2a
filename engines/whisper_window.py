"""Whisper in a window that fits the audio: several recordings at once, encoded once.

The encoder costs what its window is long, so it is shown the audio and some silence instead of 30 s. What it made is
used for all three: to tell the language, to find the words, to place them in time. Rows of one batch share the length
of their window and of their prompt (CTranslate2 wants the start of transcript at one index), nothing else.

A trimmed window makes loops likelier, and texts that break off (“The pencils” for “The pencils have all been used.”).
So a row counts only if it passes Whisper's own checks and stays below a bound of tokens, and one that is not for now
only if it has an end and is no half guess; the rest is left to the whole window.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any, Final

import ctranslate2
import faster_whisper.transcribe
import numpy as np
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import Segment as WhisperSegment
from faster_whisper.transcribe import Word as WhisperWord
from msgspec import Struct
from numpy.typing import NDArray

from engines.base import AsrJob, AsrOptions
from schemas.audio import SESSION_RATE_HZ, Samples

# Neither is typed throughout.
_ct2: Any = ctranslate2
_fw: Any = faster_whisper.transcribe

_WINDOW_FRAMES: Final = 3_000
"""What the model was trained on: 30 s."""
_FRAMES_PER_S: Final = 100
_FRAMES_STEP: Final = 200
_MIN_FRAMES: Final = 800
"""The shortest that loses nothing. In ten seconds, texts of two or three break off more often than in eight."""
_PADDING_S: Final = 3.0
"""What the model needs behind the speech: with half a second it loops, with two it errs more than with three."""
_SILENCE: Final = np.zeros(SESSION_RATE_HZ // 2, np.float32)
"""That much of it is silence, the rest is blank. A turn's audio ends with its last word, and blank right behind that
makes texts lack their end."""
_MAX_COMPRESSION: Final = 2.4
"""Whisper's own mark of a loop."""
_MIN_LOGPROB: Final = -1.0
"""Whisper's own mark of a guess."""
_MIN_FINAL_LOGPROB: Final = -0.8
"""The same where time may be taken for something better: the whole window."""
_ENDS: Final = (".", "?", "!", "…", "。", "？", "！", "؟", "।")
_QUOTES: Final = "\"'”’»）)"
_MAX_TOKENS_PER_S: Final = 8
_SPARE_TOKENS: Final = 16
_MARKER_TOKENS: Final = 4
"""Of time and end: they count in the bound and are not in what comes back."""
_UNREAD_S: Final = 1.0
"""Of audio behind the last segment the model closed: with more than this, something was left out."""
_FIRST_TIMESTAMP: Final = 50
"""Speech begins within the first second, in steps of 20 ms: as faster-whisper has it."""


class Decoded(Struct, frozen=True):
    """What was heard in one recording."""

    segments: tuple[WhisperSegment, ...]
    language: str
    language_probability: float


def window_frames(samples: Samples, options: AsrOptions) -> int | None:
    """Length of the window for this audio, in frames of 10 ms; ``None`` if it takes the whole one."""
    if not options.trimmed or options.temperature or options.token_logprobs:
        return None
    wanted = (len(samples) / SESSION_RATE_HZ + _PADDING_S) * _FRAMES_PER_S
    frames = max(_MIN_FRAMES, math.ceil(wanted / _FRAMES_STEP) * _FRAMES_STEP)
    return frames if frames < _WINDOW_FRAMES else None


def tokens_bound(samples: Samples) -> int:
    """What has as many tokens is a loop, or in a script of several tokens a letter: both need the whole window."""
    return int(len(samples) / SESSION_RATE_HZ * _MAX_TOKENS_PER_S) + _SPARE_TOKENS


class WindowDecoder:
    """Decodes batches of jobs whose :meth:`bucket` is the same.

    Args:
        model: A ``faster_whisper.WhisperModel``: its features, tokenizer and weights are used.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (an untyped library)
        self._model = model
        self._multilingual: bool = model.model.is_multilingual

    def bucket(self, job: AsrJob, previous: list[int] | None) -> Hashable | None:
        """What the rows of a batch have in common; ``None`` for a job that is not for a trimmed window."""
        frames = window_frames(job.samples, job.options)
        if frames is None:
            return None
        tokens = len(self._prompt(job.options, "en", previous))
        return frames, tokens, job.options.beam_size

    def decode(self, jobs: Sequence[AsrJob], previous: Sequence[list[int] | None]) -> list[Decoded | None]:
        """What was heard, in order; ``None`` where it is not to be trusted.

        Args:
            jobs: Of one bucket.
            previous: Tokens of each job's prompt.
        """
        frames = window_frames(jobs[0].samples, jobs[0].options)
        assert frames is not None
        features = self.features([job.samples for job in jobs], frames)
        # On the CPU, from where rows can be taken singly: (b, frames / 2, width).
        encoded = np.asarray(self._model.model.encode(_view(features), to_cpu=True))
        _check(jobs)
        languages = self._languages(encoded, jobs)
        _check(jobs)
        prompts = [
            self._prompt(job.options, language, tokens)
            for job, (language, _), tokens in zip(jobs, languages, previous, strict=True)
        ]
        bounds = [tokens_bound(job.samples) for job in jobs]
        results: list[Any] = self._model.model.generate(
            _view(encoded),
            prompts,
            beam_size=jobs[0].options.beam_size,
            max_length=len(prompts[0]) + max(bounds),
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=_fw.get_suppressed_tokens(self._tokenizer(jobs[0].options, "en"), [-1]),
            max_initial_timestamp_index=_FIRST_TIMESTAMP,
        )
        _check(jobs)
        return [
            self._row(job, language, result, bound, encoded[row : row + 1])
            for row, (job, language, result, bound) in enumerate(zip(jobs, languages, results, bounds, strict=True))
        ]

    def features(self, recordings: Sequence[Samples], frames: int) -> NDArray[np.float32]:
        """The log-mel spectrograms the encoder is shown: ``float32, (b, bins, frames)``."""
        features = np.zeros((len(recordings), self._model.feature_extractor.mel_filters.shape[0], frames), np.float32)
        for row, samples in zip(features, recordings, strict=True):
            heard: NDArray[np.float32] = self._model.feature_extractor(np.concatenate((samples, _SILENCE)))[:, :frames]
            # As faster-whisper fills up its own window: with zeros behind the features.
            row[:, : heard.shape[1]] = heard
        return features

    def _languages(self, encoded: NDArray[Any], jobs: Sequence[AsrJob]) -> list[tuple[str, float]]:
        if not self._multilingual:
            return [("en", 1.0)] * len(jobs)
        unknown = [row for row, job in enumerate(jobs) if job.options.language is None]
        found: dict[int, tuple[str, float]] = {}
        if unknown:
            guesses: list[list[tuple[str, float]]] = self._model.model.detect_language(_view(encoded[unknown]))
            # The token of a language is written <|en|>.
            found = {row: (best[0][0][2:-2], best[0][1]) for row, best in zip(unknown, guesses, strict=True)}
        return [found.get(row) or (job.options.language or "en", 1.0) for row, job in enumerate(jobs)]

    def _tokenizer(self, options: AsrOptions, language: str) -> Tokenizer:
        return Tokenizer(self._model.hf_tokenizer, self._multilingual, task=options.task.value, language=language)

    def _prompt(self, options: AsrOptions, language: str, previous: list[int] | None) -> list[int]:
        hotwords = ", ".join(options.hotwords) or None
        return self._model.get_prompt(self._tokenizer(options, language), previous or [], hotwords=hotwords)

    def _row(
        self,
        job: AsrJob,
        language: tuple[str, float],
        result: Any,  # noqa: ANN401 (an untyped extension class)
        bound: int,
        encoded: NDArray[Any],
    ) -> Decoded | None:
        tokenizer = self._tokenizer(job.options, language[0])
        tokens: list[int] = result.sequences_ids[0]
        text = tokenizer.decode(tokens).strip()
        logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        compression: float = _fw.get_compression_ratio(text)
        duration_s = len(job.samples) / SESSION_RATE_HZ
        pieces, read_s = _pieces(tokens, tokenizer, duration_s)
        is_sound = (
            len(tokens) + _MARKER_TOKENS < bound
            and compression <= _MAX_COMPRESSION
            and logprob >= _MIN_LOGPROB
            and duration_s - read_s <= _UNREAD_S
        )
        if not job.options.provisional:
            is_sound = is_sound and logprob >= _MIN_FINAL_LOGPROB and _has_end(tokens, text, tokenizer)
        if not is_sound:
            return None
        if job.options.word_times and pieces:
            self._place_words(pieces, tokenizer, encoded, int(duration_s * _FRAMES_PER_S))
        segments = tuple(
            WhisperSegment(
                id=number,
                seek=0,
                start=piece["start"],
                end=piece["end"],
                text=tokenizer.decode(piece["tokens"]),
                tokens=piece["tokens"],
                avg_logprob=logprob,
                compression_ratio=compression,
                no_speech_prob=result.no_speech_prob,
                words=[WhisperWord(**word) for word in piece["words"]] if job.options.word_times else None,
                temperature=0.0,
            )
            for number, piece in enumerate(pieces, start=1)
        )
        return Decoded(segments, *language)

    def _place_words(
        self, pieces: list[dict[str, Any]], tokenizer: Tokenizer, encoded: NDArray[Any], frames: int
    ) -> None:
        self._model.add_word_timestamps(
            [pieces],
            tokenizer,
            _view(encoded),
            frames,
            prepend_punctuations="\"'“¿([{-",
            append_punctuations="\"'.。,，!！?？:：”)]}、",
            last_speech_timestamp=0.0,
        )


def _pieces(tokens: list[int], tokenizer: Tokenizer, duration_s: float) -> tuple[list[dict[str, Any]], float]:
    """The segments between markers of time, and until when the model has read.

    Whisper closes a segment with a marker and opens the next with the same one. A marker that opens one and is the
    last says that there is more to be heard from there on.
    """
    pieces: list[dict[str, Any]] = []
    words: list[int] = []
    begin_s = last_s = 0.0
    for token in tokens:
        if token >= tokenizer.timestamp_begin:
            last_s = (token - tokenizer.timestamp_begin) / 50
            if words:
                pieces.append(_piece(words, begin_s, last_s))
                words = []
            begin_s = last_s
        elif token < tokenizer.eot:
            words.append(token)
    if words:
        pieces.append(_piece(words, begin_s, max(begin_s, duration_s)))
    ends_open = len(tokens) > 1 and all(token >= tokenizer.timestamp_begin for token in tokens[-2:])
    return [piece for piece in pieces if tokenizer.decode(piece["tokens"]).strip()], last_s if ends_open else duration_s


def _has_end(tokens: list[int], text: str, tokenizer: Tokenizer) -> bool:
    """Whether the model has closed its last segment, or its last sentence."""
    return (not tokens or tokens[-1] >= tokenizer.timestamp_begin) or text.rstrip(_QUOTES).endswith(_ENDS)


def _piece(words: list[int], start_s: float, end_s: float) -> dict[str, Any]:
    return {"seek": 0, "start": start_s, "end": end_s, "tokens": words, "words": []}


def _view(array: NDArray[Any]) -> Any:  # noqa: ANN401 (an untyped extension class)
    return _ct2.StorageView.from_array(np.ascontiguousarray(array))


def _check(jobs: Sequence[AsrJob]) -> None:
    """Go on as long as anybody waits."""
    if all(job.cancellation.cancelled for job in jobs):
        jobs[0].cancellation.check()
