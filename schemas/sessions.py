"""Sessions: what a caller may set, what it can read back.

Time inside a session is the session's audio clock: milliseconds of *received* input audio (``*_ms``). It stands
still while no audio arrives, is the same for every observer, and survives replay.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct, convert

from schemas.audio import SESSION_RATE_HZ, AudioUrl
from schemas.errors import ErrorInfo
from schemas.speech import GainDb, Lexicon, Speed
from schemas.transcripts import Hotwords, Word
from schemas.webhooks import SessionWebhook

Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
RateHz = Annotated[int, Meta(ge=8_000, le=48_000)]


class TurnProfile(StrEnum):
    """How soon silence ends a turn: :mod:`session.deadline`."""

    FAST = "fast"
    """Short pauses: commands, brisk answers."""
    BALANCED = "balanced"
    PATIENT = "patient"
    """For users who think while they speak."""
    DICTATION = "dictation"
    """For numbers, addresses, and texts that are composed aloud."""


class TurnDetection(StrEnum):
    """Who ends a turn."""

    AUTOMATIC = "automatic"
    """The server, by silence."""
    MANUAL = "manual"
    """The client, by ``commit``: push-to-talk."""


class TurnSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How turns are found in the user's audio. The defaults and their reasons: docs/turn-taking.md."""

    vad_on: Probability = 0.5
    """Speech probability at which a frame counts as voiced after silence."""
    vad_off: Probability = 0.35
    """Probability below which it counts as silent after speech; lower than ``vad_on``: hysteresis."""
    vad_on_speaking: Probability = 0.7
    """The same as ``vad_on`` while the agent is audible, against its echo."""
    vad_on_first: Probability = 0.85
    """The same in the agent's first three seconds, while nothing is known of its echo."""
    echo_threshold: Probability = 0.5
    """Share of a frame's energy that the agent's own audio explains, from which it is echo and no voice. 1 is for
    clients without any: headphones, or an echo canceller of their own."""
    onset_ms: Annotated[int, Meta(ge=32, le=1_000)] = 96
    """Voiced time that starts a turn."""
    pre_roll_ms: Annotated[int, Meta(ge=0, le=2_000)] = 500
    """Audio kept from before the onset, so that no first syllable is lost."""
    speculation_ms: Annotated[int, Meta(ge=32, le=2_000)] = 32
    """Silence after which the final transcript is begun, ahead of the decision; dropped if the user goes on. At
    ``offset_ms`` at the latest."""
    offset_ms: Annotated[int, Meta(ge=32, le=2_000)] = 200
    """Silence that counts as a pause: the client is told, and the turn detector asked."""
    profile: TurnProfile = TurnProfile.BALANCED
    """How soon silence ends a turn."""
    silence_duration_ms: Annotated[int, Meta(ge=100, le=10_000)] | None = None
    """Silence that ends a turn, whatever was said and however it sounded; null lets ``profile`` decide."""
    detection: TurnDetection = TurnDetection.AUTOMATIC
    """Who ends a turn."""
    eager_threshold: Probability = 0.35
    """Probability of an end from which ``turn.eager`` is published; 1 for never."""
    reopen_ms: Annotated[int, Meta(ge=0, le=10_000)] = 1_000
    """A user who goes on after so short a pause has not finished, even if the turn was ended: as long as nothing of an
    answer was heard, the turn is reopened."""
    commit_ms: Annotated[int, Meta(ge=50, le=10_000)] = 250
    """How long the final transcript of an ended turn is waited for, if recognition does not usually take longer."""
    no_response_s: Annotated[int, Meta(ge=1, le=300)] = 8
    """``turn.no_response`` is published if no answer is heard for so long."""
    idle_s: Annotated[int, Meta(ge=1, le=300)] = 15
    """``session.idle`` is published if nobody speaks for so long."""
    barge_in: bool = True
    """Whether speech of the user stops the agent. Without, every item is ``uninterruptible``."""
    duck_db: Annotated[float, Meta(ge=-60.0, le=0.0)] = -12.0
    """How much quieter the agent is, from ``onset_ms`` of voice over its own, in decibels."""
    hold_ms: Annotated[int, Meta(ge=32, le=5_000)] = 250
    """Voice over the agent's own that pauses it."""
    yield_ms: Annotated[int, Meta(ge=32, le=10_000)] = 1_200
    """Voice over the agent's own that stops it whatever is said, unless it is a backchannel so far. Words stop it
    sooner, and "stop" at once."""
    verdict_ms: Annotated[int, Meta(ge=100, le=5_000)] = 700
    """How long after the voice the words are waited for; then its length decides."""
    hold_limit_ms: Annotated[int, Meta(ge=250, le=10_000)] = 2_000
    """How long the agent is paused at most without a verdict; then it goes on."""
    final_position_ms: Annotated[int, Meta(ge=0, le=2_000)] = 250
    """How long to wait, after stopping, for the client's last playback position."""
    max_turn_s: Annotated[int, Meta(ge=1, le=600)] = 60
    """A turn longer than this is ended."""

    @property
    def is_weighed(self) -> bool:
        """Whether what was said, and how it sounded, has a part in when turns end."""
        return self.silence_duration_ms is None and self.detection is TurnDetection.AUTOMATIC


class SessionSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the caller of ``open_session`` may set."""

    language: str | None = None
    """ISO 639-1 language of the user; ``None`` detects it, turn by turn."""
    voice: str | None = None
    """The agent's voice; ``None`` is the server's default."""
    lexicon: Lexicon = ()
    """How the agent pronounces words, in all that it says; what comes with one ``say`` goes before it."""
    speed: Speed = 1.0
    """Pace of the agent's voice: 1 is its own, 2 twice as fast. That of one ``say`` is relative to it."""
    gain_db: GainDb = 0.0
    """Loudness of the agent's voice over its own, in decibels. That of one ``say`` comes on top."""
    asr_model: str | None = None
    """The recognition model; ``None`` is the server's default."""
    prompt: Annotated[str, Meta(max_length=2_000)] | None = None
    """Text that primes recognition: what was said before, or how it is to be written."""
    hotwords: Hotwords = ()
    """Names and terms that the user is likely to say."""
    input_rate_hz: RateHz = SESSION_RATE_HZ
    """Rate of the 16-bit mono PCM the client sends."""
    output_rate_hz: RateHz = 24_000
    """Rate of the 16-bit mono PCM the client receives."""
    output_latency_ms: Annotated[int, Meta(ge=0, le=2_000)] = 0
    """How long the agent's audio takes from the position the client reports to the ear; for a client that reports none,
    from the server to the ear."""
    partials: bool = True
    """Whether to publish transcripts of unfinished turns."""
    turn: TurnSettings = TurnSettings()


class OpenSession(SessionSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a session, and what is no part of them."""

    webhook: SessionWebhook | None = None
    """Where to post the session's events, if the server allows it (``webhooks.by_session``)."""

    @property
    def settings(self) -> SessionSettings:
        """The settings alone."""
        return convert(self, SessionSettings, from_attributes=True)


class SessionState(StrEnum):
    """Life of a session."""

    OPEN = "open"
    CLOSED = "closed"
    INTERRUPTED = "interrupted"
    """The server stopped while it was open: its history can be read, it takes no more audio."""


class SpeechStatus(StrEnum):
    """How the agent's speaking of one item went."""

    QUEUED = "queued"
    SPEAKING = "speaking"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    """Stopped by the user's speech or ``stop_speaking``."""
    FAILED = "failed"


class Interruption(StrEnum):
    """What the user's speech does to something the agent says. Their words are kept whichever it is."""

    INTERRUPTIBLE = "interruptible"
    """An interruption stops it."""
    HOLD = "hold"
    """An interruption pauses it: when the user's turn is over it goes on, at the start of the interrupted word."""
    UNINTERRUPTIBLE = "uninterruptible"
    """It goes on."""


class HeardSource(StrEnum):
    """Where knowledge of the playback position comes from."""

    ACKNOWLEDGED = "acknowledged"
    """The client reported it."""
    ESTIMATED = "estimated"
    """Counted from when audio was sent; the client reported nothing."""


class TurnLatency(Struct, frozen=True, kw_only=True):
    """Where the time went between the end of the user's speech and the first sound of the answer.

    The parts follow one another, and ``total_ms`` is their sum. Null is what has not happened, or not yet.
    """

    decision_ms: int
    """Until it was decided that the turn is over. Counted in the user's audio: silence, mostly."""
    final_ms: int
    """From then until its text was final."""
    queued_ms: int | None = None
    """From then until the first audio of the agent's answer was sent."""
    acked_ms: int | None = None
    """From then until the client had played some of it, by its own account."""
    total_ms: int


class UserTurn(Struct, frozen=True, kw_only=True, tag_field="role", tag="user"):
    """One complete turn of the user."""

    turn: int
    """Counts from 1 in each session."""
    text: str
    language: str
    started_ms: int
    ended_ms: int
    """End of the last voiced audio."""
    words: tuple[Word, ...] = ()
    """Times count from the start of the session's audio."""
    latency: TurnLatency | None = None
    """Null in histories of versions that did not measure it."""
    error: ErrorInfo | None = None
    """Why recognition failed: the user said something, and nobody knows what. Ask them to say it again."""
    revision: int = 1
    """How often it has ended: a user who goes on before an answer is heard reopens their turn."""
    provisional: bool = False
    """The final transcript is late, and the last words may be missing; it replaces this one when it is there."""
    confirmed: bool = True
    """False only for what ``listen`` returns eagerly: the user may still go on."""


class WordHeard(StrEnum):
    """Whether a word reached the user."""

    HEARD = "heard"
    PARTIAL = "partial"
    """It was cut: it counts as not heard, and is the first of ``remaining_text``."""
    UNHEARD = "unheard"


class AgentWord(Struct, frozen=True, kw_only=True):
    """A word of an item, with its place in the item's audio."""

    text: str
    start_ms: int
    end_ms: int
    heard: WordHeard


class AgentTurn(Struct, frozen=True, kw_only=True, tag_field="role", tag="agent"):
    """One thing the agent said. ``heard_text`` is what belongs in the language model's history."""

    item_id: str
    text: str
    status: SpeechStatus
    heard_text: str = ""
    remaining_text: str = ""
    heard_ms: int = 0
    """How much of the audio reached the ear."""
    heard_source: HeardSource = HeardSource.ESTIMATED
    words: tuple[AgentWord, ...] = ()
    """The words whose audio was sent, once the item is over, as far as the voice knows when each is spoken."""
    error: ErrorInfo | None = None
    """Why, if ``status`` is ``failed``."""


ConversationItem = UserTurn | AgentTurn


class SessionInfo(Struct, frozen=True, kw_only=True):
    """A session as seen from outside."""

    session_id: str
    state: SessionState
    created_at: str
    """RFC 3339, UTC."""
    settings: SessionSettings
    last_seq: int
    """Sequence number of its newest event."""
    received_ms: int
    """Length of the user's audio received so far."""


class Conversation(Struct, frozen=True, kw_only=True):
    """The history of a session: only what was said and heard."""

    session: SessionInfo
    items: tuple[ConversationItem, ...]


class AudioByUrl(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The user's audio as a file somewhere else."""

    url: AudioUrl
    """Where to fetch it: http or https."""


class LatencyOfTurn(Struct, frozen=True, kw_only=True):
    """One turn's account."""

    turn: int
    latency: TurnLatency


class LatencyLedger(Struct, frozen=True, kw_only=True):
    """How long the agent took to answer, turn by turn, and where the time went."""

    session_id: str
    turns: tuple[LatencyOfTurn, ...]
    """Those that have an account, in order."""


class AudioAccepted(Struct, frozen=True, kw_only=True):
    """Audio was taken into a session."""

    accepted_ms: int
    """Its length."""
