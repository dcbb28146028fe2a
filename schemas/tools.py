"""Arguments and results of the typed tools: the tool's schema on every surface is derived from these Structs.

Descriptions are written for a language model that has nothing else to read. Lengths of texts and audio are told in
the schema and checked by the tools, which have errors of their own for them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from schemas.audio import AudioFormat, AudioUrl
from schemas.errors import ErrorInfo
from schemas.events import MAX_SAY_CHARS
from schemas.sessions import AgentTurn, Interruption, SessionSettings, SpeechStatus, UserTurn
from schemas.speech import SpeechOptions, Voice
from schemas.transcripts import AsrTask, Hotwords, LanguageGuess, Segment, Word

MAX_SYNTHESIZE_CHARS = 20_000
SessionId = Annotated[str, Meta(min_length=1, max_length=64, description="From open_session.")]


class _Input(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class _Output(Struct, frozen=True, kw_only=True):
    pass


class AudioInput(_Input, frozen=True, kw_only=True):
    """Audio to recognise, in any common container; raw PCM states its rate."""

    audio: Annotated[
        Annotated[str, Meta(extra_json_schema={"contentEncoding": "base64"})] | None,
        Meta(description="Base64 of a WAV, FLAC, MP3, Ogg/Opus, WebM or M4A file, or of raw PCM."),
    ] = None
    audio_url: Annotated[
        AudioUrl | None,
        Meta(description="Where to fetch the file, in place of audio, if the server allows it: http or https."),
    ] = None
    sample_rate_hz: Annotated[
        Annotated[int, Meta(ge=8_000, le=192_000)] | None,
        Meta(description="Only for raw 16-bit little-endian PCM: its rate in hertz. Leave out for files."),
    ] = None
    channels: Annotated[int, Meta(ge=1, le=8, description="Only for raw PCM: interleaved channels.")] = 1


class TranscribeInput(AudioInput, frozen=True, kw_only=True):
    """Arguments of ``transcribe``."""

    language: Annotated[
        str | None, Meta(description="ISO 639-1 code of the speech, such as en. Detected when left out.")
    ] = None
    task: Annotated[
        AsrTask, Meta(description="transcribe keeps the language of the speech; translate gives English text.")
    ] = AsrTask.TRANSCRIBE
    prompt: Annotated[
        Annotated[str, Meta(max_length=2_000)] | None,
        Meta(description="Text that could come before the speech, with names and terms to expect."),
    ] = None
    hotwords: Annotated[Hotwords, Meta(description="Words to favour.")] = ()
    word_times: Annotated[bool, Meta(description="Also return when each word was said.")] = False
    beam_size: Annotated[int, Meta(ge=1, le=10, description="1 is greedy and fastest.")] = 5
    temperature: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Randomness of decoding. 0 is raised only where decoding fails.")
    ] = 0.0
    whole: Annotated[
        bool,
        Meta(
            description="Decode up to ten minutes in one go, as faster-whisper does. Otherwise recordings of more than "
            "30 s are cut at silences and recognised piece by piece."
        ),
    ] = False
    model: Annotated[str | None, Meta(description="The recognition model; the server's default when left out.")] = None


class TranscribeOutput(_Output, frozen=True, kw_only=True):
    """Result of ``transcribe``. Audio without speech gives an empty text."""

    text: str
    language: Annotated[str, Meta(description="ISO 639-1.")]
    language_probability: float
    duration_s: Annotated[float, Meta(description="Length of the audio, speech or not.")]
    segments: tuple[Segment, ...]
    words: Annotated[tuple[Word, ...], Meta(description="Empty unless word_times was set.")]
    model: Annotated[str, Meta(description="The model that was used.")]


class DetectLanguageInput(AudioInput, frozen=True, kw_only=True):
    """Arguments of ``detect_language``."""

    model: Annotated[str | None, Meta(description="The recognition model; the server's default when left out.")] = None


class DetectLanguageOutput(_Output, frozen=True, kw_only=True):
    """Result of ``detect_language``."""

    language: Annotated[str, Meta(description="The most probable language, ISO 639-1.")]
    probability: float
    candidates: Annotated[tuple[LanguageGuess, ...], Meta(description="Most probable first.")]


AudioAs = Literal["base64", "link"]


class SynthesizeInput(SpeechOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of ``synthesize``."""

    text: Annotated[
        str,
        Meta(
            description="What to speak: plain text or markdown, as you would write it; or SSML, if ssml is set.",
            extra_json_schema={"maxLength": MAX_SYNTHESIZE_CHARS},
        ),
    ]
    voice: Annotated[
        str | None, Meta(description="An id or alias from list_voices; the server's default when left out.")
    ] = None
    format: Annotated[
        AudioFormat, Meta(description="Of the audio returned. pcm is 16-bit little-endian mono without a header.")
    ] = AudioFormat.WAV
    sample_rate_hz: Annotated[
        Annotated[int, Meta(ge=8_000, le=48_000)] | None,
        Meta(description="Of the audio returned; the voice's own rate when left out."),
    ] = None
    audio_as: Annotated[
        AudioAs | None,
        Meta(
            description="base64 puts the audio into the result; link gives an audio_id instead, under which it can be "
            "fetched for ten minutes. Left out: link over MCP, base64 elsewhere."
        ),
    ] = None


class SynthesizeOutput(_Output, frozen=True, kw_only=True):
    """Result of ``synthesize``."""

    audio: Annotated[
        str | None,
        Meta(
            description="Base64 of the audio file; null if it is linked, or beside this as content of its own (MCP).",
            extra_json_schema={"contentEncoding": "base64"},
        ),
    ] = None
    audio_id: Annotated[
        str | None,
        Meta(description="Of linked audio: GET /v1/audio/{audio_id}, or the MCP resource antiphon://audio/{audio_id}."),
    ] = None
    format: AudioFormat
    content_type: Annotated[str, Meta(description="MIME type of the audio file.")]
    sample_rate_hz: Annotated[int, Meta(description="Rate that was encoded; codecs without it use the next higher.")]
    duration_s: float
    voice: Annotated[str, Meta(description="Id of the voice that spoke.")]


class ListVoicesInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``list_voices``."""

    language: Annotated[
        str | None, Meta(description="Keep voices of this language: en for all of English, or en-US. All if left out.")
    ] = None


class ListVoicesOutput(_Output, frozen=True, kw_only=True):
    """Result of ``list_voices``."""

    voices: tuple[Voice, ...]
    default: Annotated[str | None, Meta(description="Id of the voice that speaks when none is named.")]


class OpenSessionInput(SessionSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of ``open_session``. The defaults suit a conversation."""


class OpenSessionOutput(_Output, frozen=True, kw_only=True):
    """Result of ``open_session``: the handle, and where audio and events flow."""

    session_id: Annotated[str, Meta(description="Pass it to the other session tools. Keep it secret.")]
    settings: SessionSettings
    stream_path: Annotated[
        str,
        Meta(description="WebSocket for the client with microphone and loudspeaker: PCM both ways, events as JSON."),
    ]
    events_path: Annotated[str, Meta(description="Server-sent events, resumable by Last-Event-ID.")]


class ListenInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``listen``."""

    session_id: SessionId
    timeout_s: Annotated[float, Meta(gt=0.0, le=300.0, description="How long to wait at most, in seconds.")] = 30.0
    after_turn: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Wait for the first turn after this number. Left out: the next turn not yet returned."),
    ] = None
    eager: Annotated[
        bool,
        Meta(
            description="Return early what is probably a whole turn, with status eager. No side effects before the "
            "same turn is returned with status turn."
        ),
    ] = False


class ListenOutput(_Output, frozen=True, kw_only=True):
    """Result of ``listen``. A timeout is a result, not an error: the user may just be silent."""

    status: Annotated[
        Literal["turn", "eager", "timeout", "closed"],
        Meta(
            description="turn: the user spoke; eager: they have probably finished; timeout: listen again, or say "
            "something; closed: the session ended."
        ),
    ]
    turn: Annotated[UserTurn | None, Meta(description="What the user said, if status is turn or eager.")] = None


class SayInput(SpeechOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Arguments of ``say``."""

    session_id: SessionId
    text: Annotated[
        str,
        Meta(
            description="What to speak: plain text or markdown, as you would write it; or SSML, if ssml is set.",
            extra_json_schema={"maxLength": MAX_SAY_CHARS},
        ),
    ]
    voice: Annotated[
        str | None, Meta(description="An id or alias from list_voices; the session's voice when left out.")
    ] = None
    append_to: Annotated[
        str | None, Meta(description="item_id of a say with more=true, to go on with it in the same voice.")
    ] = None
    more: Annotated[bool, Meta(description="More text follows by append_to; returns at once.")] = False
    interruption: Annotated[
        Interruption,
        Meta(
            description="What the user's speech does to this: interruptible stops it, hold pauses it until their turn "
            "is over, uninterruptible lets it go on. What they say is kept whichever it is."
        ),
    ] = Interruption.INTERRUPTIBLE
    wait: Annotated[bool, Meta(description="false returns at once, without waiting for playback.")] = True
    user_timeout_s: Annotated[
        float,
        Meta(
            ge=0.0,
            le=300.0,
            description="If the user interrupts, how long to wait for the end of their turn, in seconds.",
        ),
    ] = 15.0


class SayOutput(_Output, frozen=True, kw_only=True):
    """Result of ``say``: put ``heard_text``, not the text you sent, into the conversation history."""

    item_id: str
    status: Annotated[
        SpeechStatus,
        Meta(description="completed, interrupted or failed; queued or speaking if the call did not wait for the end."),
    ]
    heard_text: Annotated[str, Meta(description="What the user heard; empty if the call did not wait.")]
    remaining_text: Annotated[str, Meta(description="What they did not hear (yet).")]
    user_turn: Annotated[
        UserTurn | None,
        Meta(description="What the user said when they interrupted; listen does not return it again."),
    ] = None
    error: Annotated[ErrorInfo | None, Meta(description="Why, if status is failed.")] = None


class StopSpeakingInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``stop_speaking``."""

    session_id: SessionId


class StopSpeakingOutput(_Output, frozen=True, kw_only=True):
    """Result of ``stop_speaking``."""

    stopped: Annotated[
        tuple[AgentTurn, ...],
        Meta(description="What was being said or waited to be, and what was heard of it; empty if nothing was."),
    ]


class GetConversationInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``get_conversation``."""

    session_id: SessionId


class CloseSessionInput(_Input, frozen=True, kw_only=True):
    """Arguments of ``close_session``."""

    session_id: SessionId


class CloseSessionOutput(_Output, frozen=True, kw_only=True):
    """Result of ``close_session``."""

    session_id: str
    last_seq: Annotated[int, Meta(description="Sequence number of the session's last event.")]


class ToolAnnotations(Struct, frozen=True, kw_only=True):
    """What a caller may assume of a tool; the hints of the Model Context Protocol."""

    read_only: bool
    """Whether it changes nothing."""
    idempotent: bool
    """Whether calling it again with the same arguments has no further effect."""
    destructive: bool = False
    """Whether it ends something that is not to be had back."""
    open_world: bool
    """Whether it reaches people or things outside the server: a session has a user."""


class ToolInfo(Struct, frozen=True, kw_only=True):
    """A tool as a caller sees it."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    """JSON Schema, self-contained."""
    output_schema: dict[str, Any]
    """JSON Schema, self-contained."""
    annotations: ToolAnnotations


class ToolList(Struct, frozen=True, kw_only=True):
    """Every tool there is."""

    tools: tuple[ToolInfo, ...]


class _ToolEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something on the way to a tool's result."""


class ToolProgress(_ToolEvent, frozen=True, kw_only=True, tag="progress"):
    """How far the tool has come."""

    done_s: float
    """Seconds of audio that are finished; of listen and say, seconds since they were called."""
    total_s: float | None = None
    """Of so many, if that is known."""
    message: str | None = None
    """What happens just now, for a person."""


class ToolSegment(_ToolEvent, frozen=True, kw_only=True, tag="segment"):
    """A segment of the transcript, as soon as it is recognised."""

    segment: Segment


class ToolAudio(_ToolEvent, frozen=True, kw_only=True, tag="audio"):
    """A piece of speech, as soon as it is made."""

    audio: str
    """Base64 of 16-bit little-endian mono PCM."""
    sample_rate_hz: int


ToolEvent = ToolProgress | ToolSegment | ToolAudio
