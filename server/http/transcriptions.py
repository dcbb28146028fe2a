"""``POST /v1/audio/transcriptions`` and ``/v1/audio/translations``, as the OpenAI clients know them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import MappingProxyType
from typing import Final

import anyio
import msgspec
from litestar import MediaType, Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ASGIApp

from engines.base import AsrOptions
from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.long_audio import transcribe_file, transcript_of_file
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.openai import (
    ASR_ALIASES,
    DurationUsage,
    TranscriptDelta,
    TranscriptDone,
    TranscriptFormat,
    TranscriptionForm,
    TranscriptionJson,
    TranscriptionLanguage,
    TranscriptionVerbose,
    TranscriptSegment,
    TranslationForm,
    VerboseSegment,
    VerboseWord,
)
from schemas.principal import Scope
from schemas.transcripts import AsrTask, Progress, Segment, Transcript, continuation, language_code
from server.errors import HttpRequest, error_responses
from server.http.bodies import MULTIPART, documented, form_body
from server.http.gate import needs
from server.http.streams import as_asgi, event_stream, streamed, until_disconnected
from server.settings import Settings
from server.subtitles import srt, vtt

_REFUSED: Final = MappingProxyType(
    {
        "chunking_strategy[]": "this server takes chunking_strategy=auto, with no parameters.",
        "include": "this server returns no log-probabilities of tokens.",
        "known_speaker_names": "this server does not tell speakers apart.",
        "known_speaker_references": "this server does not tell speakers apart.",
    }
)
_RESPONSES: Final = {
    **error_responses(400, 403, 404, 413, 415, 422, 500, 503, 504),
    200: ResponseSpec(
        TranscriptionJson | TranscriptionVerbose,
        description="The transcript, as json or verbose_json; plain text for the other formats.",
        generate_examples=False,
    ),
}
_SUBTITLES: Final = {"srt": (srt, "application/x-subrip; charset=utf-8"), "vtt": (vtt, "text/vtt")}


@post(
    "/v1/audio/transcriptions",
    status_code=200,
    operation_class=documented(TranscriptionForm, MULTIPART),
    operation_id="createTranscription",
    opt=needs(Scope.AUDIO),
    summary="Transcribe a recording",
    description="The text of a recording in its own language, whole or, with stream=true, as server-sent events.",
    tags=["audio"],
    responses=_RESPONSES,
)
async def create_transcription(
    request: HttpRequest,
    host: NamedDependency[EngineHost],
    decoder: NamedDependency[Decoder],
    settings: NamedDependency[Settings],
) -> ASGIApp:
    """Recognise an uploaded recording."""
    form, upload = await form_body(request, TranscriptionForm, refused=_REFUSED)
    _check_combination(form)
    model = _model(form.model)

    async def decoded() -> tuple[Samples, AsrOptions]:
        audio = await decoder.decode(upload)
        return audio.samples, AsrOptions(
            language=await _language(form, audio.samples, host, deadline_s),
            prompt=form.prompt,
            hotwords=form.keywords,
            temperature=form.temperature,
            word_times="word" in form.timestamp_granularities,
            vad_filter=not whole,
        )

    whole = form.chunking_strategy is None
    deadline_s = anyio.current_time() + settings.limits.request_timeout_s
    samples, options = await until_disconnected(request.receive, decoded)
    if form.stream:
        return streamed(
            lambda: transcribe_file(host, samples, options, model=model, deadline_s=deadline_s, whole=whole),
            lambda results: event_stream(
                _events(results, segments=form.response_format == "verbose_json"), drain_s=settings.server.drain_s
            ),
        )
    transcript = await until_disconnected(
        request.receive,
        lambda: transcript_of_file(host, samples, options, model=model, deadline_s=deadline_s, whole=whole),
    )
    granularities = frozenset(form.timestamp_granularities or ("segment",))
    return as_asgi(_response(transcript, form.response_format, AsrTask.TRANSCRIBE, granularities), request)


@post(
    "/v1/audio/translations",
    status_code=200,
    operation_class=documented(TranslationForm, MULTIPART),
    operation_id="createTranslation",
    opt=needs(Scope.AUDIO),
    summary="Translate a recording into English",
    description="The English text of a recording in any language.",
    tags=["audio"],
    responses=_RESPONSES,
)
async def create_translation(
    request: HttpRequest,
    host: NamedDependency[EngineHost],
    decoder: NamedDependency[Decoder],
    settings: NamedDependency[Settings],
) -> Response[object]:
    """Recognise an uploaded recording as English text."""
    form, upload = await form_body(request, TranslationForm)
    model = _model(form.model)

    async def translated() -> Transcript:
        audio = await decoder.decode(upload)
        options = AsrOptions(task=AsrTask.TRANSLATE, prompt=form.prompt, temperature=form.temperature)
        return await transcript_of_file(host, audio.samples, options, model=model, deadline_s=deadline_s, whole=True)

    deadline_s = anyio.current_time() + settings.limits.request_timeout_s
    transcript = await until_disconnected(request.receive, translated)
    english = msgspec.structs.replace(transcript, language="en")
    return _response(english, form.response_format, AsrTask.TRANSLATE, frozenset({"segment"}))


def _check_combination(form: TranscriptionForm) -> None:
    if form.timestamp_granularities and form.response_format != "verbose_json":
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            "timestamp_granularities needs response_format=verbose_json.",
            param="timestamp_granularities",
        )
    if form.stream and form.response_format in _SUBTITLES:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            f"response_format={form.response_format} cannot be streamed; leave out stream, or take json.",
            param="response_format",
        )
    if form.language and form.languages:
        raise SpeechError(ErrorCode.INVALID_REQUEST, "Send language or languages, not both.", param="languages")


def _model(name: str | None) -> str | None:
    return None if name is None or name in ASR_ALIASES else name


async def _language(form: TranscriptionForm, samples: Samples, host: EngineHost, deadline_s: float) -> str | None:
    """The language to recognise in; ``None`` to detect it freely."""
    candidates = [language_code(tag) for tag in ([form.language] if form.language else form.languages)]
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    guesses = await host.detect_language(samples, model=_model(form.model), deadline_s=deadline_s)
    return next((guess.language for guess in guesses if guess.language in candidates), candidates[0])


def _usage(transcript: Transcript) -> DurationUsage:
    return DurationUsage(seconds=round(transcript.duration_s, 3))


def _languages(transcript: Transcript) -> tuple[TranscriptionLanguage, ...]:
    # An empty array says that no language was made out.
    return (TranscriptionLanguage(transcript.language),) if transcript.text else ()


def _response(
    transcript: Transcript, fmt: TranscriptFormat, task: AsrTask, granularities: frozenset[str]
) -> Response[object]:
    if fmt in _SUBTITLES:
        write, media_type = _SUBTITLES[fmt]
        return Response(write(transcript.segments), media_type=media_type)
    if fmt == "text":
        return Response(f"{transcript.text}\n", media_type=MediaType.TEXT)
    if fmt == "verbose_json":
        return Response(_verbose(transcript, task, granularities), media_type=MediaType.JSON)
    return Response(
        TranscriptionJson(text=transcript.text, languages=_languages(transcript), usage=_usage(transcript)),
        media_type=MediaType.JSON,
    )


def _verbose(transcript: Transcript, task: AsrTask, granularities: frozenset[str]) -> TranscriptionVerbose:
    segments = tuple(
        VerboseSegment(
            id=segment.id,
            seek=segment.seek,
            start=segment.start_s,
            end=segment.end_s,
            text=segment.text,
            tokens=segment.tokens,
            temperature=segment.temperature,
            avg_logprob=segment.avg_logprob,
            compression_ratio=segment.compression_ratio,
            no_speech_prob=segment.no_speech_prob,
        )
        for segment in transcript.segments
    )
    words = tuple(VerboseWord(word=word.text, start=word.start_s, end=word.end_s) for word in transcript.words)
    return TranscriptionVerbose(
        task=task.value,
        language=transcript.language,
        duration=round(transcript.duration_s, 3),
        text=transcript.text,
        usage=_usage(transcript),
        segments=segments if "segment" in granularities else None,
        words=words if "word" in granularities else None,
    )


async def _events(
    results: AsyncIterator[Segment | Progress | Transcript], *, segments: bool
) -> AsyncGenerator[TranscriptDelta | TranscriptSegment | TranscriptDone]:
    """Deltas that, joined, are exactly the final text."""
    sent = ""
    async for result in results:
        match result:
            case Segment(text=text):
                delta = continuation(sent, text)
                sent += delta
                yield TranscriptDelta(delta=delta)
                if segments:
                    yield TranscriptSegment(
                        id=f"seg_{result.id}", start=result.start_s, end=result.end_s, text=text.strip()
                    )
            case Progress():  # OpenAI's streams have no event for it.
                pass
            case Transcript(text=text):
                yield TranscriptDone(text=text, languages=_languages(result), usage=_usage(result))


ROUTES: Final = (create_transcription, create_translation)
