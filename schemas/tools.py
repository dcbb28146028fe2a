"""Arguments and results of the typed tools: the tool's schema on every surface is derived from these Structs."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from schemas.audio import AudioFormat
from schemas.events import MAX_SAY_CHARS
from schemas.sessions import AgentTurn, SessionSettings, SpeechStatus, UserTurn
from schemas.speech import Voice
from schemas.transcripts import AsrTask, LanguageGuess, Segment, Word

MAX_SYNTHESIZE_CHARS = 20_000
SessionId = Annotated[str, Meta(min_length=1, max_length=64, description="From open_session.")]
Text = Annotated[str, Meta(max_length=MAX_SAY_CHARS)]


class _Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Output(Struct, frozen=True, kw_only=True):
    pass


class AudioInput(_Input, frozen=True, kw_only=True):
    """Audio to recognise, in any common container; raw PCM states its rate."""

    audio: Annotated[str, Meta(description="Base64 of a WAV, FLAC, MP3, Ogg/Opus, WebM or M4A file, or of raw PCM.")]
    sample_rate_hz: Annotated[
        int | None,
        Meta(description="Only for raw 16-bit little-endian PCM: its rate in hertz. Leave out for files."),
    ] = None
    channels: Annotated[int, Meta(ge=1, le=8, description="Only for raw PCM: interleaved channels.")] = 1


class TranscribeInput(AudioInput, frozen=True, kw_only=True):
    """Arguments of ``transcribe``."""

    language: Annotated[str | None, Meta(description="ISO 639-1, such as en. Detected when left out.")] = None
    task: Annotated[AsrTask, Meta(description="translate gives English text.")] = AsrTask.TRANSCRIBE
    prompt: Annotated[str | None, Meta(max_length=2_000, description="Names and terms to expect.")] = None
    hotwords: Annotated[tuple[str, ...], Meta(max_length=100, description="Words to favour.")] = ()
    word_times: Annotated[bool, Meta(description="Also return when each word was said.")] = False
    beam_size: Annotated[int, Meta(ge=1, le=10, description="1 is greedy and fastest.")] = 5
    temperature: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.0
    model: Annotated[str | None, Meta(description="A model from list_models; the default when left out.")] = None


class TranscribeOutput(_Output, frozen=True, kw_only=True):
    """Result of ``transcribe``."""

    text: str
    language: str
    language_probability: float
    duration_s: float
    segments: tuple[Segment, ...]
    words: tuple[Word, ...]
    model: str


class DetectLanguageInput(AudioInput, frozen=True, kw_only=True):
    """Arguments of ``detect_language``."""

    model: str | None = None


class DetectLanguageOutput(_Output, frozen=True, kw_only=True):
    """Result of ``detect_language``, most probable first."""

    language: str
    probability: float
    candidates: tuple[LanguageGuess, ...]


class SynthesizeInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``synthesize``."""

    text: Annotated[str, Meta(max_length=MAX_SYNTHESIZE_CHARS)]
    voice: Annotated[str | None, Meta(description="An id or alias from list_voices.")] = None
    format: Annotated[AudioFormat, Meta(description="pcm is 16-bit little-endian mono.")] = AudioFormat.WAV
    sample_rate_hz: Annotated[
        int | None, Meta(ge=8_000, le=48_000, description="The voice's own rate when left out.")
    ] = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0, description="1 is the voice's own pace.")] = 1.0


class SynthesizeOutput(_Output, frozen=True, kw_only=True):
    """Result of ``synthesize``."""

    audio: Annotated[str, Meta(description="Base64 of the audio file.")]
    format: AudioFormat
    content_type: str
    sample_rate_hz: int
    duration_s: float
    voice: str


class ListVoicesInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``list_voices``."""

    language: Annotated[str | None, Meta(description="Keep voices of this language: en, or en-US.")] = None


class ListVoicesOutput(_Output, frozen=True, kw_only=True):
    """Result of ``list_voices``."""

    voices: tuple[Voice, ...]
    default: str | None


class OpenSessionInput(SessionSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of ``open_session``."""


class OpenSessionOutput(_Output, frozen=True, kw_only=True):
    """Result of ``open_session``: the handle, and where audio and events flow."""

    session_id: str
    settings: SessionSettings
    stream_path: Annotated[str, Meta(description="WebSocket: 16-bit PCM both ways, events as JSON text.")]
    events_path: Annotated[str, Meta(description="Server-sent events, resumable by Last-Event-ID.")]


class ListenInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``listen``."""

    session_id: SessionId
    timeout_s: Annotated[float, Meta(gt=0.0, le=300.0, description="How long to wait at most.")] = 30.0
    after_turn: Annotated[
        int | None,
        Meta(
            ge=0,
            description="Wait for the first turn after this number. Left out: the next turn not yet returned.",
        ),
    ] = None


class ListenOutput(_Output, frozen=True, kw_only=True):
    """Result of ``listen``. A timeout is a result, not an error: the user may just be silent."""

    status: Annotated[str, Meta(description="turn, timeout or closed.")]
    turn: UserTurn | None = None


class SayInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``say``."""

    session_id: SessionId
    text: Text
    voice: str | None = None
    append_to: Annotated[str | None, Meta(description="item_id of a say with more=true, to go on with it.")] = None
    more: Annotated[bool, Meta(description="More text follows by append_to; returns at once.")] = False
    wait: Annotated[bool, Meta(description="false returns at once, without waiting for playback.")] = True
    user_timeout_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=300.0,
            description="If the user interrupts, how long to wait for the end of their turn.",
        ),
    ] = 15.0


class SayOutput(_Output, frozen=True, kw_only=True):
    """Result of ``say``: put ``heard_text``, not the text you sent, into the conversation history."""

    item_id: str
    status: SpeechStatus
    heard_text: str
    remaining_text: str
    user_turn: Annotated[UserTurn | None, Meta(description="What the user said when they interrupted.")] = None


class StopSpeakingInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``stop_speaking``."""

    session_id: SessionId


class StopSpeakingOutput(_Output, frozen=True, kw_only=True):
    """Result of ``stop_speaking``: what was stopped, with what had been heard of it."""

    stopped: tuple[AgentTurn, ...]


class GetConversationInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``get_conversation``."""

    session_id: SessionId


class CloseSessionInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``close_session``."""

    session_id: SessionId


class CloseSessionOutput(_Output, frozen=True, kw_only=True):
    """Result of ``close_session``."""

    session_id: str
    last_seq: int
