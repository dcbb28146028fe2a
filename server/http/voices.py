"""``/v1/audio/voices``: what can be spoken with, and voices of people who agreed to being cloned."""

from __future__ import annotations

from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import msgspec
from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from engines.codec.decoder import Decoder
from engines.coqui.cloned_voices import REFERENCE_RATE_HZ, Consent
from engines.coqui.cloning import VoiceCloning
from engines.host import EngineHost
from schemas.errors import ErrorCode, SpeechError
from schemas.openai import CreatedVoice, DeletedVoice, VoiceForm, VoiceList, VoiceObject
from schemas.principal import LOCAL, Scope
from server.errors import HttpRequest, error_responses
from server.http.bodies import MULTIPART, documented, form_body
from server.http.gate import needs, principal_of
from server.http.streams import until_disconnected

SAMPLE_FIELD: Final = "audio_sample"
_NO_PROMPTS: Final = "voices are cloned from a recording here, not made from a description."
REFUSED: Final = MappingProxyType(
    {"type=prompt": _NO_PROMPTS, "prompt": _NO_PROMPTS, "model": _NO_PROMPTS, "script_hint": _NO_PROMPTS}
)
_CONSENT: Final = (
    "consent must be JSON with given_by, statement, scope and language: what the speaker agreed to, in their words. "
    "Consent recordings are not kept here."
)


@get(
    "/v1/audio/voices",
    operation_id="listVoices",
    opt=needs(Scope.AUDIO),
    summary="List the voices",
    tags=["audio"],
    responses=error_responses(400, 403),
    sync_to_thread=False,
)
def list_voices(host: NamedDependency[EngineHost]) -> VoiceList:
    """The voices one can ask for."""
    voices = host.voices()
    default = host.voice(None).id if voices else None
    return VoiceList(
        data=tuple(
            VoiceObject(
                id=voice.id,
                name=voice.name,
                model=voice.model,
                language=voice.language,
                gender=voice.gender,
                sample_rate_hz=voice.sample_rate_hz,
                aliases=voice.aliases,
                default=voice.id == default,
            )
            for voice in voices
        )
    )


@post(
    "/v1/audio/voices",
    status_code=200,
    operation_class=documented(VoiceForm, MULTIPART, file=SAMPLE_FIELD),
    operation_id="createVoice",
    opt=needs(Scope.AUDIO),
    summary="Clone a voice",
    description="From a recording of 3 s or more, with the consent of whom it is of. Needs the extra coqui and XTTS. "
    "Where keys are asked for, the voice is the tenant's alone, and its id is its name with a random ending.",
    tags=["audio"],
    responses=error_responses(400, 403, 413, 415, 422, 500, 501, 503, 504),
)
async def create_voice(
    request: HttpRequest, decoder: NamedDependency[Decoder], cloning: NamedDependency[VoiceCloning]
) -> CreatedVoice:
    """Keep a voice; it can be spoken with at once."""
    form, upload = await form_body(request, VoiceForm, file=SAMPLE_FIELD, refused=REFUSED)
    cloning.check()
    if isinstance(form.consent, str):
        raise SpeechError(ErrorCode.CONSENT_REQUIRED, _CONSENT, param="consent")
    now = datetime.now(UTC)
    principal = principal_of(request.scope)
    consent = Consent(
        **msgspec.structs.asdict(form.consent),
        given_at=now.isoformat(timespec="seconds"),
        tenant=None if principal is LOCAL else principal.tenant,
    )
    audio = await until_disconnected(request.receive, lambda: decoder.decode(upload, sample_rate_hz=REFERENCE_RATE_HZ))
    voice = await cloning.add(form.name, audio.samples, consent)
    return CreatedVoice(id=voice.id, name=form.name, created_at=int(now.timestamp()))


@delete(
    "/v1/audio/voices/{name:str}",
    status_code=200,
    operation_id="deleteVoice",
    opt=needs(Scope.AUDIO),
    summary="Delete a cloned voice",
    tags=["audio"],
    responses=error_responses(400, 403, 404, 501, 503),
)
async def delete_voice(
    request: HttpRequest,
    host: NamedDependency[EngineHost],
    cloning: NamedDependency[VoiceCloning],
    name: FromPath[str],
) -> DeletedVoice:
    """Delete the voice with its recording and its consent."""
    cloning.check()
    if not any(voice.id == name and voice.cloned for voice in host.voices()):
        raise SpeechError(ErrorCode.UNKNOWN_VOICE, f"No voice {name[:64]!r} was cloned here.", param="voice")
    if host.voice(name).tenant is None:
        principal_of(request.scope).require(Scope.ADMIN)  # it is everyone's
    await cloning.remove(name)
    return DeletedVoice(id=name)


ROUTES: Final = (list_voices, create_voice, delete_voice)
