"""The OpenAI audio API: requests and responses by the names its clients use.

Reference: https://platform.openai.com/docs/api-reference/audio, as the ``openai`` Python client 3.x sends it; what
becomes of each field stands in ``docs/openai.md``. Unknown fields are errors, in forms and in JSON.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from schemas.audio import AudioFormat
from schemas.models import ModelKind
from schemas.speech import SpeechOptions
from schemas.transcripts import Hotwords

SPEECH_RATE_HZ: Final = 24_000
"""What ``response_format=pcm`` means in the OpenAI API; the other formats have the same rate."""

ASR_ALIASES: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-mini-transcribe-2025-12-15",
    "gpt-4o-transcribe-diarize",
)
"""Model names of OpenAI that clients send on their own; each means the default recognition model."""

TTS_ALIASES: Final = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15")
"""The same for synthesis."""

Consented = Annotated[str, Meta(min_length=1, max_length=2_000)]
Prompt = Annotated[str, Meta(max_length=10_000)]
Temperature = Annotated[float, Meta(ge=0.0, le=1.0)]
TranscriptFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


class ServerVad(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``chunking_strategy`` as an object: voice activity cuts the recording, whatever its length, like this."""

    type: Literal["server_vad"]
    threshold: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.5
    """The probability from which on sound is speech."""
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=5_000)] = 300
    """Kept before speech."""
    silence_duration_ms: Annotated[int, Meta(ge=0, le=30_000)] = 500
    """Silence longer than this ends a chunk, and is left out."""


class TranscriptionForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form fields of ``POST /v1/audio/transcriptions`` besides ``file``. Lists may be sent as ``name[]``."""

    model: str | None = None
    """A model of ``GET /v1/models``, or a name of OpenAI for the default."""
    language: str | None = None
    """ISO 639-1; detected when left out."""
    languages: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """The languages it may be in; the most probable of them is taken."""
    prompt: Prompt | None = None
    response_format: TranscriptFormat = "json"
    temperature: Temperature = 0.0
    timestamp_granularities: tuple[Literal["word", "segment"], ...] = ()
    """For ``verbose_json``; segments are its default."""
    stream: bool = False
    keywords: Hotwords = ()
    """Words to favour."""
    chunking_strategy: Literal["auto"] | ServerVad | None = None
    """``auto`` leaves out silence, and recognises what is longer than 30 s in pieces cut at silences."""
    include: tuple[Literal["logprobs"], ...] = ()
    """``logprobs``, for ``json``: how sure recognition was of each token."""


class TranslationForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form fields of ``POST /v1/audio/translations`` besides ``file``."""

    model: str | None = None
    prompt: Prompt | None = None
    response_format: TranscriptFormat = "json"
    temperature: Temperature = 0.0


class DurationUsage(Struct, frozen=True, kw_only=True, tag_field="type", tag="duration"):
    """How much audio was recognised."""

    seconds: float


class TokenDetails(Struct, frozen=True, kw_only=True):
    """Of what the tokens that went in were made."""

    audio_tokens: int


class TranscriptUsage(Struct, frozen=True, kw_only=True, tag_field="type", tag="tokens"):
    """The end of a stream counts tokens: those of Whisper, a prompt's not among them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: TokenDetails


class Logprob(Struct, frozen=True, kw_only=True):
    """How sure recognition was of a token. The ``bytes`` of all tokens, joined, are the text."""

    token: str
    """As far as it is whole characters."""
    bytes: tuple[int, ...]
    """UTF-8."""
    logprob: float
    """Natural logarithm of the probability."""


class TranscriptionLanguage(Struct, frozen=True):
    """A language that was heard."""

    code: str
    """ISO 639-1."""


class TranscriptionJson(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``response_format=json``."""

    text: str
    languages: tuple[TranscriptionLanguage, ...]
    usage: DurationUsage
    logprobs: tuple[Logprob, ...] | None = None


class VerboseSegment(Struct, frozen=True, kw_only=True):
    """A segment in ``verbose_json``; times in seconds."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: tuple[int, ...]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class VerboseWord(Struct, frozen=True, kw_only=True):
    """A word in ``verbose_json``; times in seconds."""

    word: str
    start: float
    end: float


class TranscriptionVerbose(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``response_format=verbose_json``."""

    task: str
    language: str
    """Its English name, as in ``german``."""
    duration: float
    """Seconds."""
    text: str
    usage: DurationUsage
    segments: tuple[VerboseSegment, ...] | None = None
    words: tuple[VerboseWord, ...] | None = None


class TranscriptDelta(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="transcript.text.delta"
):
    """More text; all of them, joined, are the text."""

    delta: str
    logprobs: tuple[Logprob, ...] | None = None


class TranscriptSegment(Struct, frozen=True, kw_only=True, tag_field="type", tag="transcript.text.segment"):
    """A segment with times in seconds, for ``response_format=verbose_json``."""

    id: str
    start: float
    end: float
    text: str


class TranscriptDone(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="transcript.text.done"
):
    """The end of a streamed transcription."""

    text: str
    languages: tuple[TranscriptionLanguage, ...]
    usage: TranscriptUsage
    logprobs: tuple[Logprob, ...] | None = None


class VoiceRef(Struct, frozen=True, forbid_unknown_fields=True):
    """A voice as an object."""

    id: str


class SpeechRequest(SpeechOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``POST /v1/audio/speech``. ``ssml``, ``normalize``, ``lexicon`` and ``gain_db`` are extensions."""

    input: str
    model: str | None = None
    """A synthesis model of ``GET /v1/models``, or a name of OpenAI for the default."""
    voice: str | VoiceRef | None = None
    """An id or alias of ``GET /v1/audio/voices``."""
    instructions: str | None = None
    """Accepted because clients send it; the voices here have one manner of speaking."""
    response_format: AudioFormat = AudioFormat.MP3
    stream_format: Literal["audio", "sse"] = "audio"


class TokenUsage(Struct, frozen=True, kw_only=True):
    """Characters, since no tokens are counted here: of the text, of which speech was made."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class SpeechDelta(Struct, frozen=True, kw_only=True, tag_field="type", tag="speech.audio.delta"):
    """More audio, in base64; all of it, joined, is the file."""

    audio: str


class SpeechDone(Struct, frozen=True, kw_only=True, tag_field="type", tag="speech.audio.done"):
    """The end of streamed speech."""

    usage: TokenUsage


class VoiceObject(Struct, frozen=True, kw_only=True):
    """A voice in ``GET /v1/audio/voices``."""

    id: str
    object: Literal["voice"] = "voice"
    name: str
    model: str
    language: str
    """BCP 47."""
    gender: str
    sample_rate_hz: int
    aliases: tuple[str, ...]
    default: bool


class VoiceList(Struct, frozen=True, kw_only=True):
    """``GET /v1/audio/voices``."""

    object: Literal["list"] = "list"
    data: tuple[VoiceObject, ...]


class VoiceConsent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the speaker of a recording agreed to."""

    given_by: Consented
    """Whose voice it is."""
    statement: Consented
    """What they agreed to, in their words."""
    scope: Consented
    """What the voice may be used for."""
    language: Annotated[str, Meta(min_length=2, max_length=35)]
    """BCP 47: what the voice is to speak."""


class VoiceForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form fields of ``POST /v1/audio/voices`` besides ``audio_sample``."""

    name: Annotated[str, Meta(pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    """The id of the voice; where the server asks for keys, its beginning."""
    consent: VoiceConsent | str
    """As JSON. What is no JSON names a consent recording, which are not kept here."""
    type: Literal["audio_sample"] = "audio_sample"


class CreatedVoice(Struct, frozen=True, kw_only=True):
    """The answer to ``POST /v1/audio/voices``."""

    id: str
    object: Literal["audio.voice"] = "audio.voice"
    created_at: int
    """Unix time, seconds."""
    name: str
    type: Literal["audio_sample"] = "audio_sample"


class DeletedVoice(Struct, frozen=True, kw_only=True):
    """The answer to ``DELETE /v1/audio/voices/{id}``."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: bool = True


class ModelObject(Struct, frozen=True, kw_only=True):
    """A model in ``GET /v1/models``: OpenAI's four fields, then ours."""

    id: str
    object: Literal["model"] = "model"
    created: int
    """Unix time, seconds; always 0, since the catalog keeps no dates."""
    owned_by: str
    kind: ModelKind
    engine: str
    title: str
    languages: tuple[str, ...]
    licence: str
    installed: bool
    loaded: bool
    resident_bytes: int
    """Growth of the server's memory when the model was loaded; 0 if it is not."""
    default: bool
    """Whether it is used where a request names no model."""
    aliases: tuple[str, ...]
    """Names of OpenAI's models that mean this one."""


class ModelList(Struct, frozen=True, kw_only=True):
    """``GET /v1/models``."""

    object: Literal["list"] = "list"
    data: tuple[ModelObject, ...]
