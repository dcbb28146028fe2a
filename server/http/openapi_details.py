"""What the API's description says of operations beyond what Litestar finds: examples, and server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, get_args

from msgspec import Struct

from schemas import examples
from schemas.errors import ErrorBody
from schemas.events import Commit, Playback, ServerEvent
from schemas.models import ModelKind
from schemas.openai import (
    CreatedVoice,
    DeletedVoice,
    DurationUsage,
    ModelList,
    ModelObject,
    SpeechDelta,
    SpeechDone,
    SpeechRequest,
    TranscriptDelta,
    TranscriptDone,
    TranscriptionJson,
    TranscriptionLanguage,
    TranscriptSegment,
    VoiceList,
    VoiceObject,
)
from schemas.sessions import AudioAccepted, SessionSettings
from schemas.tools import ToolList
from server.http.health import Health, Readiness
from tools.registry import TOOLS
from tools.schema import tool_info

Events = Mapping[str, type[Struct]]
"""The data of server-sent events by their name."""

WEBSOCKET: Final = """\
The microphone and the loudspeaker of a session are a WebSocket, which OpenAPI cannot describe:
`WS /v1/sessions/{session_id}/stream`. Binary frames to the server are 16-bit little-endian mono PCM at the session's
input_rate_hz; text frames are JSON, one of the schemas Playback, Say, StopSpeaking, Commit, Clear, Mute, Dtmf and
Close. Text frames from the server are the events of the session, which are those of streamEvents; after each say.audio
whose audio is null comes a binary frame with its PCM at output_rate_hz. With `?after=SEQ` the stream goes on after that
event. Close codes: 1000 after session.closed, 4400 bad after, 4404 no such session, 4408 the client takes no data, 4409
the session is over, 4410 the events are no longer kept, 1011 the server failed."""
_OPENAI_NAMES: Final = "All but error have their name in the field type of their data alone."


class Details(Struct, frozen=True, kw_only=True):
    """Of one operation."""

    body: Struct | None = None
    """An example of its JSON body."""
    result: Struct | None = None
    """An example of its JSON response."""
    other_results: tuple[str, ...] = ()
    """JSON types of responses of other shapes, whose schemas are not ours."""
    events: Events = MappingProxyType({})
    """What a successful response is, or may be, as a stream."""
    events_words: str = ""
    """When it is one, and in which order they come."""


def _by_tag(*kinds: type[Struct]) -> Events:
    return {str(kind.__struct_config__.tag): kind for kind in kinds}


_MODEL: Final = ModelObject(
    id="whisper-base",
    created=0,
    owned_by="whisper",
    kind=ModelKind.ASR,
    engine="whisper",
    title="OpenAI Whisper base, multilingual",
    languages=("en", "de"),
    licence="MIT",
    installed=True,
    loaded=True,
    resident_bytes=215_000_000,
    default=True,
    aliases=("whisper-1",),
)
_VOICE: Final = VoiceObject(
    id=examples.VOICE.id,
    name=examples.VOICE.name,
    model=examples.VOICE.model,
    language=examples.VOICE.language,
    gender=examples.VOICE.gender,
    sample_rate_hz=examples.VOICE.sample_rate_hz,
    aliases=examples.VOICE.aliases,
    default=True,
)
_TRANSCRIPT: Final = TranscriptionJson(
    text="Hello.", languages=(TranscriptionLanguage("en"),), usage=DurationUsage(seconds=0.9)
)

DETAILS: Final[Mapping[str, Details]] = MappingProxyType(
    {
        "createTranscription": Details(
            result=_TRANSCRIPT,
            events={**_by_tag(TranscriptDelta, TranscriptSegment, TranscriptDone), "error": ErrorBody},
            events_words=f"With stream=true: deltas, then transcript.text.done, or error. {_OPENAI_NAMES}",
        ),
        "createTranslation": Details(result=_TRANSCRIPT),
        "createSpeech": Details(
            body=SpeechRequest(input="Hello there.", model="tts-1", voice="alloy"),
            events={**_by_tag(SpeechDelta, SpeechDone), "error": ErrorBody},
            events_words=f"With stream_format=sse: deltas, then speech.audio.done, or error. {_OPENAI_NAMES}",
        ),
        "listVoices": Details(result=VoiceList(data=(_VOICE,))),
        "createVoice": Details(result=CreatedVoice(id="ada", created_at=1_767_225_600, name="ada")),
        "deleteVoice": Details(result=DeletedVoice(id="ada")),
        "listModels": Details(result=ModelList(data=(_MODEL,))),
        "retrieveModel": Details(result=_MODEL),
        "unloadModel": Details(result=_MODEL),
        "openSession": Details(body=SessionSettings(language="en"), result=examples.SESSION),
        "getSession": Details(result=examples.SESSION),
        "closeSession": Details(result=examples.SESSION),
        "getSessionConversation": Details(result=examples.CONVERSATION),
        "commandInput": Details(body=Commit()),
        "reportPlayback": Details(body=Playback(item_id="item_1", played_ms=900)),
        "sendAudio": Details(result=AudioAccepted(accepted_ms=900)),
        "streamEvents": Details(
            events={**_by_tag(*get_args(ServerEvent)), "error": ErrorBody},
            events_words="In the order of their numbers, which are their `id`.",
        ),
        "listTools": Details(
            result=ToolList(tools=(tool_info(TOOLS["close_session"]),)), other_results=("object", "array")
        ),
        "health": Details(result=Health()),
        "readiness": Details(result=Readiness(status="ready")),
    }
)
"""By operationId."""
