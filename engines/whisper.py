"""Whisper by faster-whisper (CTranslate2).

Speech is recognised exactly as by ``WhisperModel.transcribe`` with the same options, unless ``trimmed`` is asked for:
then the encoder sees no more of its 30 s window than there is audio, and three seconds behind it
(:mod:`engines.whisper_window`), and what fails its checks is done again in the whole window. Text of one window never
primes the next (``condition_on_previous_text=False``): the chief cause of loops. Hot words and prompt together are
kept within what the model can read.

Against invented text there are Whisper's own checks (no-speech probability, mean log-probability, compression ratio,
raised temperatures) and two of ours: audio too short or too faint to hold speech is not shown to the model, which
would hear “you” in digital silence; and segments are dropped that speech does not give (:func:`is_invented`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import ctranslate2
import faster_whisper
import numpy as np
from faster_whisper.transcribe import Segment as WhisperSegment
from faster_whisper.transcribe import TranscriptionInfo
from msgspec.structs import replace

from engines.base import AsrJob, AsrOptions, Cancellation, Lanes
from engines.token_scorer import TokenScorer
from engines.whisper_batch import best_batch
from engines.whisper_ending import EndingScorer
from engines.whisper_window import WindowDecoder
from schemas.audio import SESSION_RATE_HZ, Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.transcripts import AsrTask, LanguageGuess, Segment, TokenLogprob, Transcript, Word

# Neither is typed throughout.
_ct2: Any = ctranslate2
_fw: Any = faster_whisper

_TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Tried in turn while decoding fails Whisper's quality checks (Radford et al. 2022, §4.5); the first alone for what is
replaced soon."""
_MOST_TOKENS_PER_S: Final = 40
"""Scripts that Whisper's vocabulary spells out take up to three tokens a letter: fast speech in Georgian has 36."""
_MOST_SPARE_TOKENS: Final = 32
_LONG_TURN_TOKENS: Final = 200
"""Beside a prompt of half the model's context there is no room for more."""
_MIN_SAMPLES: Final = SESSION_RATE_HZ // 10
"""100 ms: shorter than any word."""
_MIN_PEAK: Final = 4 / 32_768
"""Four steps of 16-bit audio (-78 dBFS): dither and rounding noise lie below, the faintest usable speech above."""
_MAX_PROMPT_TOKENS: Final = 223
"""Half of Whisper's 448 positions, less one for the marker before the prompt: the rest is for the answer."""
_NOBODY_SPEAKS: Final = 0.8
_NOBODY_SPEAKS_CLEARLY: Final = 0.4
_UNCLEAR_LOGPROB: Final = -1.0
_UNDETERMINED: Final = "und"
"""Language of a transcript without speech, if the caller named none (ISO 639-2)."""


class WhisperAsr:
    """Speech recognition with a Whisper model in CTranslate2 format.

    Args:
        model_dir: Folder with ``model.bin``, ``config.json``, ``tokenizer.json`` and the vocabulary.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        compute_type: ``default`` (as the weights are stored), ``auto`` (the fastest here), or any type CTranslate2
            has on the device, such as ``int8`` or ``float16``.
        cpu_threads: Threads one transcription computes with on a CPU; 0 leaves it to CTranslate2.
        turn_threads: The same in a trimmed window, which is mostly decoding, one word after the other. With others than
            ``cpu_threads``, weights are in memory twice; on a GPU it means nothing.
        num_workers: Transcriptions computed at once, for calls from several threads.
        max_batch: Turns recognised together; ``None`` measures how many had best be (:mod:`engines.whisper_batch`).
        exact_window: Whether the window is never trimmed, whatever the options of a job.

    Raises:
        SpeechError: ``invalid_setting`` for a device or compute type this machine lacks, ``model_corrupt`` if files
            are missing.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        device: str = "auto",
        compute_type: str = "default",
        cpu_threads: int = 0,
        turn_threads: int | None = None,
        num_workers: int = 1,
        max_batch: int | None = 1,
        exact_window: bool = False,
    ) -> None:
        # Without these two faster-whisper would go and look for them on a model hub.
        if not all((model_dir / name).is_file() for name in ("model.bin", "tokenizer.json")):
            raise SpeechError(
                ErrorCode.MODEL_CORRUPT,
                f"Files of the model {model_dir.name} are missing. Run: antiphon models pull {model_dir.name} --force",
                param="model",
            )
        kind, index = _parse_device(device)
        _check_compute_type(compute_type, kind, index)
        self._model: Any = _fw.WhisperModel(
            str(model_dir),
            device=kind,
            device_index=index,
            compute_type=compute_type,
            cpu_threads=cpu_threads,
            num_workers=num_workers,
            local_files_only=True,
        )
        self._turn_model = self._model
        if not exact_window and turn_threads not in {None, cpu_threads} and self._model.model.device == "cpu":
            self._turn_model = copy.copy(self._model)
            self._turn_model.model = _ct2.models.Whisper(
                str(model_dir),
                compute_type=compute_type,
                intra_threads=turn_threads,
                inter_threads=num_workers,
            )
        if exact_window:  # whole windows are recognised one by one
            max_batch = 1
        self.lanes = Lanes(num_workers, best_batch(self._turn_model) if max_batch is None else max_batch)
        self._window = WindowDecoder(self._turn_model)
        self._ending = EndingScorer(self._turn_model)
        self._exact_window = exact_window
        self.languages: frozenset[str] = frozenset(self._model.supported_languages)

    def transcribe(self, jobs: Sequence[AsrJob]) -> list[Transcript | SpeechError]:
        """One result a job, in order; see :class:`engines.base.Asr`.

        Rows that fail hold ``unsupported_language``, ``invalid_request`` (translation by an English-only model),
        ``invalid_audio`` (samples that are no numbers) or ``cancelled``, which is looked for before each step of the
        model: encoding a 30 s window, decoding it at one temperature, placing its words, weighing how its text ends.
        """
        rows: list[Transcript | SpeechError | None] = [self._without_model(job) for job in jobs]
        buckets: dict[Hashable, list[int]] = {}
        for number, job in enumerate(jobs):
            if rows[number] is None and (bucket := self.bucket(job)) is not None:
                buckets.setdefault(bucket, []).append(number)
        for numbers in buckets.values():
            for number, row in zip(numbers, self._trimmed([jobs[number] for number in numbers]), strict=True):
                rows[number] = row
        whole = [self._whole(job) if row is None else row for job, row in zip(jobs, rows, strict=True)]
        return [self._with_ending(job, row) for job, row in zip(jobs, whole, strict=True)]

    def bucket(self, job: AsrJob) -> Hashable | None:
        """What jobs must have in common to be recognised together; ``None`` for one that is recognised alone."""
        return None if self._exact_window else self._window.bucket(job, self._previous(job.options))

    def detect_language(self, samples: Sequence[Samples]) -> list[list[LanguageGuess]]:
        """Candidates for each piece of 16 kHz audio, from its first 30 s, most probable first."""
        return [self._guess_language(piece) for piece in samples]

    def close(self) -> None:
        """Free the model's memory."""
        for model in {self._model.model, self._turn_model.model}:
            model.unload_model()
        del self._model, self._turn_model, self._window, self._ending

    def _without_model(self, job: AsrJob) -> Transcript | SpeechError | None:
        """What can be said of a job without the model: that it cannot be done, or that there is no speech."""
        try:
            job.cancellation.check()
            self._check_options(job.options)
            if _may_hold_speech(job.samples):
                return None
        except SpeechError as error:
            return error
        language = job.options.language or _UNDETERMINED
        return Transcript("", language, 1.0 if job.options.language else 0.0, len(job.samples) / SESSION_RATE_HZ)

    def _trimmed(self, jobs: list[AsrJob]) -> list[Transcript | SpeechError | None]:
        """Jobs of one bucket, recognised together; ``None`` for those that need the whole window."""
        try:
            found = self._window.decode(jobs, [self._previous(job.options) for job in jobs])
            return [
                None if one is None else _transcript(job, one.segments, one.language, one.language_probability)
                for job, one in zip(jobs, found, strict=True)
            ]
        except SpeechError as error:
            return [error] * len(jobs)

    def _whole(self, job: AsrJob) -> Transcript | SpeechError:
        try:
            model = copy.copy(self._model)  # of the wrapper alone: the weights are one and the same
            model.model = _Steps(self._model.model, job.cancellation)
            found, info = self._decode(model, job)
            wanted = job.options.token_logprobs
            score = TokenScorer(model, job.options.task.value, info.language).score if wanted else None
            return _transcript(job, found, info.language, float(info.language_probability), score)
        except SpeechError as error:
            return error

    def _with_ending(self, job: AsrJob, row: Transcript | SpeechError) -> Transcript | SpeechError:
        is_asked = job.options.sentence_end and job.options.task is AsrTask.TRANSCRIBE
        if not is_asked or isinstance(row, SpeechError):
            return row
        try:
            job.cancellation.check()
        except SpeechError as error:
            return error
        return replace(row, sentence_end=self._ending.probability(row.text, row.language))

    def _decode(self, model: Any, job: AsrJob) -> tuple[Iterable[WhisperSegment], TranscriptionInfo]:  # noqa: ANN401
        options = job.options
        is_rough = options.provisional and not self._exact_window
        return model.transcribe(
            job.samples,
            language=options.language,
            task=options.task.value,
            beam_size=options.beam_size,
            temperature=options.temperature or _TEMPERATURES[: 1 if is_rough else None],
            condition_on_previous_text=False,
            initial_prompt=self._previous(options),
            hotwords=", ".join(options.hotwords) or None,
            max_new_tokens=None if self._exact_window else _most_tokens(job),
            word_timestamps=options.word_times,
            vad_filter=options.vad_filter,
        )

    def _previous(self, options: AsrOptions) -> list[int] | None:
        """The tokens of the prompt; its end, where hot words leave no room for all of it."""
        if not options.prompt:
            return None
        hotwords = ", ".join(options.hotwords)
        room = max(0, _MAX_PROMPT_TOKENS - len(self._tokens(hotwords) if hotwords else ()))
        tokens = self._tokens(options.prompt)
        return tokens[max(0, len(tokens) - room) :]

    def _tokens(self, text: str) -> list[int]:
        return self._model.hf_tokenizer.encode(" " + text.strip(), add_special_tokens=False).ids

    def _guess_language(self, samples: Samples) -> list[LanguageGuess]:
        if len(self.languages) == 1:
            return [LanguageGuess(language, 1.0) for language in self.languages]
        candidates: list[tuple[str, float]] = self._model.detect_language(samples)[2]
        guesses = [LanguageGuess(language, probability) for language, probability in candidates]
        return sorted(guesses, key=lambda guess: -guess.probability)

    def _check_options(self, options: AsrOptions) -> None:
        if options.language is not None and options.language not in self.languages:
            raise SpeechError(
                ErrorCode.UNSUPPORTED_LANGUAGE,
                f"This model does not recognise the language {options.language[:16]!r}. "
                f"Leave it out to have it detected, or choose one of: {', '.join(sorted(self.languages))}.",
                param="language",
            )
        if options.task is AsrTask.TRANSLATE and len(self.languages) == 1:
            raise SpeechError(
                ErrorCode.INVALID_REQUEST,
                "This model knows English only, so it cannot translate into it. Choose a multilingual model.",
                param="task",
            )


class _Steps:
    """A CTranslate2 model that looks for cancellation before each step, and keeps what it encoded last.

    Segments come window by window, so while those of one are at hand, that is what they were heard in.
    """

    def __init__(self, model: Any, cancellation: Cancellation) -> None:  # noqa: ANN401 (an untyped extension class)
        self._model = model
        self._cancellation = cancellation
        self.encoded: Any = None

    def encode(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 (whatever the model takes)
        self._cancellation.check()
        self.encoded = self._model.encode(*arguments, **options)
        return self.encoded

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the model has)
        self._cancellation.check()
        return getattr(self._model, name)


def _transcript(
    job: AsrJob,
    found: Iterable[WhisperSegment],
    language: str,
    language_probability: float,
    score: Callable[[WhisperSegment], tuple[TokenLogprob, ...]] | None = None,
) -> Transcript:
    duration_s = len(job.samples) / SESSION_RATE_HZ
    segments: list[Segment] = []
    for one in found:  # lazy: windows are decoded as this goes on
        job.cancellation.check()
        if is_invented(one):
            continue
        segment = _segment(one, duration_s)
        segments.append(segment if score is None else replace(segment, logprobs=score(one)))
        if job.on_segment is not None:
            job.on_segment(segments[-1])
    text = "".join(segment.text for segment in segments).strip()
    return Transcript(text, language, language_probability, duration_s, tuple(segments))


def _most_tokens(job: AsrJob) -> int | None:
    """What a short turn may take in the whole window; ``None`` for what Whisper itself allows, as for an upload.

    A murmur of half a second can loop through a session's hotwords at each temperature, for more than a minute.
    """
    most = int(len(job.samples) / SESSION_RATE_HZ * _MOST_TOKENS_PER_S) + _MOST_SPARE_TOKENS
    return most if job.options.trimmed and most < _LONG_TURN_TOKENS else None


def _may_hold_speech(samples: Samples) -> bool:
    """Whether it is worth asking the model.

    Raises:
        SpeechError: ``invalid_audio`` for NaN and infinite samples.
    """
    if len(samples) < _MIN_SAMPLES:
        return False
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise SpeechError(ErrorCode.INVALID_AUDIO, "The audio holds values that are not numbers.", param="audio")
    return peak >= _MIN_PEAK


def is_invented(one: WhisperSegment) -> bool:
    """Whether a segment is what Whisper hears in noise and silence.

    Whisper's own rule (no-speech above 0.6 with a mean log-probability below -1) lets “You” through at 0.85 and 0.94,
    and what the last temperature gave at 0.40…0.51. With whisper-base and whisper-tiny.en at int8, 133 segments of real
    speech in five languages had at most 0.56, and at most 0.25 where the log-probability was below -0.7.
    """
    return (
        one.no_speech_prob > _NOBODY_SPEAKS
        or (one.no_speech_prob > _NOBODY_SPEAKS_CLEARLY and one.avg_logprob < _UNCLEAR_LOGPROB)
        or not any(map(str.isalnum, one.text))
    )


def _segment(one: WhisperSegment, duration_s: float) -> Segment:
    """Times are kept inside the audio: Whisper's may point into the silence its window is filled up with."""
    return Segment(
        id=one.id,
        text=one.text,
        start_s=min(float(one.start), duration_s),
        end_s=min(float(one.end), duration_s),
        avg_logprob=float(one.avg_logprob),
        compression_ratio=float(one.compression_ratio),
        no_speech_prob=float(one.no_speech_prob),
        temperature=float(one.temperature or 0.0),
        seek=one.seek,
        tokens=tuple(one.tokens),
        words=tuple(
            Word(
                text=word.word.strip(),
                start_s=min(float(word.start), duration_s),
                end_s=min(float(word.end), duration_s),
                probability=float(word.probability),
            )
            for word in one.words or ()
        ),
    )


def _parse_device(device: str) -> tuple[str, int]:
    """CTranslate2's kind of device and index."""
    kind, _, index = device.partition(":")
    if kind not in {"auto", "cpu", "cuda"} or (index and (kind != "cuda" or not index.isdecimal())):
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"There is no device {device!r}. Write auto, cpu, cuda or cuda:N.",
            param="device",
        )
    devices: int = _ct2.get_cuda_device_count()
    if kind == "cuda" and int(index or 0) >= devices:
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"There is no CUDA device {index or 0}: CTranslate2 sees {devices}. Choose device auto or cpu.",
            param="device",
        )
    return kind, int(index or 0)


def _check_compute_type(compute_type: str, kind: str, index: int) -> None:
    supported: set[str] = _ct2.get_supported_compute_types(kind, index)
    if compute_type not in supported | {"default", "auto"}:
        raise SpeechError(
            ErrorCode.INVALID_SETTING,
            f"This device does not compute in {compute_type!r}. "
            f"Choose default, auto or one of: {', '.join(sorted(supported))}.",
            param="compute_type",
        )
