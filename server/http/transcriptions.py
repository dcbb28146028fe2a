"""``POST /v1/audio/transcriptions`` and ``/v1/audio/translations``, as the OpenAI clients know them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import anyio
import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ASGIApp

from engines.base import AsrOptions
from engines.codec.decoder import Decoder
from engines.host import EngineHost
from engines.long_audio import transcribe_file, transcript_of_file
from engines.pieces import Cutting
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.openai import (
    ASR_ALIASES,
    ServerVad,
    TranscriptionForm,
    TranscriptionJson,
    TranscriptionVerbose,
    TranslationForm,
)
from schemas.principal import Scope
from schemas.transcripts import AsrTask, Transcript, language_code
from server.errors import HttpRequest, error_responses
from server.http.bodies import MULTIPART, documented, form_body
from server.http.gate import needs
from server.http.streams import as_asgi, event_stream, streamed, until_disconnected
from server.http.transcript_formats import SUBTITLES, transcript_events, transcript_response
from server.settings import Settings

_NO_SPEAKERS: Final = "this server does not tell speakers apart."
REFUSED: Final = MappingProxyType(
    {
        "known_speaker_names": _NO_SPEAKERS,
        "known_speaker_references": _NO_SPEAKERS,
        "response_format=diarized_json": f"{_NO_SPEAKERS} Take json or verbose_json.",
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
    form, upload = await form_body(request, TranscriptionForm, refused=REFUSED)
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
            token_logprobs=logprobs,
            vad_filter=not whole,
        )

    logprobs = "logprobs" in form.include
    whole = form.chunking_strategy is None
    cutting = _cutting(form.chunking_strategy) if isinstance(form.chunking_strategy, ServerVad) else None
    deadline_s = anyio.current_time() + settings.limits.request_timeout_s
    samples, options = await until_disconnected(request.receive, decoded)
    if form.stream:
        segments = form.response_format == "verbose_json"
        return streamed(
            lambda: transcribe_file(
                host, samples, options, model=model, deadline_s=deadline_s, whole=whole, cutting=cutting
            ),
            lambda results: event_stream(
                transcript_events(results, segments=segments, logprobs=logprobs), drain_s=settings.server.drain_s
            ),
        )
    transcript = await until_disconnected(
        request.receive,
        lambda: transcript_of_file(
            host, samples, options, model=model, deadline_s=deadline_s, whole=whole, cutting=cutting
        ),
    )
    response = transcript_response(
        transcript, form.response_format, granularities=form.timestamp_granularities, logprobs=logprobs
    )
    return as_asgi(response, request)


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
    return transcript_response(english, form.response_format, task=AsrTask.TRANSLATE)


def _check_combination(form: TranscriptionForm) -> None:
    if form.timestamp_granularities and form.response_format != "verbose_json":
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            "timestamp_granularities needs response_format=verbose_json.",
            param="timestamp_granularities",
        )
    if form.include and form.response_format != "json":
        raise SpeechError(ErrorCode.INVALID_REQUEST, "include[]=logprobs needs response_format=json.", param="include")
    if form.stream and form.response_format in SUBTITLES:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            f"response_format={form.response_format} cannot be streamed; leave out stream, or take json.",
            param="response_format",
        )
    if form.language and form.languages:
        raise SpeechError(ErrorCode.INVALID_REQUEST, "Send language or languages, not both.", param="languages")


def _cutting(vad: ServerVad) -> Cutting:
    return Cutting(threshold=vad.threshold, lead_ms=vad.prefix_padding_ms, pause_ms=vad.silence_duration_ms)


def _model(name: str | None) -> str | None:
    return None if name is None or name in ASR_ALIASES else name


async def _language(form: TranscriptionForm, samples: Samples, host: EngineHost, deadline_s: float) -> str | None:
    """The language to recognise in; ``None`` to detect it freely."""
    candidates = [language_code(tag) for tag in ([form.language] if form.language else form.languages)]
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    guesses = await host.detect_language(samples, model=_model(form.model), deadline_s=deadline_s)
    return next((guess.language for guess in guesses if guess.language in candidates), candidates[0])


ROUTES: Final = (create_transcription, create_translation)
