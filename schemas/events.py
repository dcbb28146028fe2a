"""Session events, one tagged union per direction.

``ServerEvent``: what a session publishes, over SSE, WebSocket and in its log. Each carries ``seq``, which counts
from 1 without gaps and is the SSE id, and ``at_ms``, the session's audio clock when it was published.

``ClientEvent``: what a client sends as JSON text over the WebSocket, beside binary PCM. Unknown fields are errors.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.errors import ErrorInfo
from schemas.sessions import AgentWord, HeardSource, Interruption, SessionSettings, SpeechStatus, TurnLatency
from schemas.speech import SpeechOptions
from schemas.transcripts import Word

MAX_SAY_CHARS = 5_000

TurnEndReason = Literal["silence", "command", "limit", "stalled"]
DtmfDigit = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "A", "B", "C", "D"]
"""The keys of RFC 4733, section 3.2."""


class _ServerEvent(Struct, frozen=True, kw_only=True, tag_field="type"):
    seq: int = 0
    """Set by the log."""
    at_ms: int = 0
    """Set by the log."""


class SessionOpened(_ServerEvent, frozen=True, kw_only=True, tag="session.opened"):
    """The first event of every session."""

    session_id: str
    settings: SessionSettings


class SessionClosed(_ServerEvent, frozen=True, kw_only=True, tag="session.closed"):
    """The last event of every session."""

    reason: Literal["client", "idle", "shutdown", "server_stopped", "failed"]


class SpeechStarted(_ServerEvent, frozen=True, kw_only=True, tag="speech.started"):
    """The user began to speak; ``started_ms`` is the onset, before ``at_ms`` by the time it took to be sure."""

    turn: int
    started_ms: int


class SpeechStopped(_ServerEvent, frozen=True, kw_only=True, tag="speech.stopped"):
    """The user paused. The turn may go on: ``speech.resumed``, or end: ``turn.ended``."""

    turn: int
    stopped_ms: int


class SpeechBackchannel(_ServerEvent, frozen=True, kw_only=True, tag="speech.backchannel"):
    """The user spoke while the agent did, and it was no interruption: a "mhm", a cough. It is no turn."""

    started_ms: int
    stopped_ms: int
    text: str
    """What it sounded like; empty for what has no words."""


class SpeechResumed(_ServerEvent, frozen=True, kw_only=True, tag="speech.resumed"):
    """The user went on in the same turn."""

    turn: int
    resumed_ms: int


class TranscriptPartial(_ServerEvent, frozen=True, kw_only=True, tag="transcript.partial"):
    """Text of an unfinished turn; each replaces the one before, and begins with its ``stable_text``."""

    turn: int
    text: str
    stable_text: str = ""
    """The beginning of ``text`` that will stay as it is. Only ``turn.ended``, which hears the whole turn, may correct
    it."""
    audio_end_ms: int
    """The audio up to here is in ``text``."""


class TurnEager(_ServerEvent, frozen=True, kw_only=True, tag="turn.eager"):
    """The user has probably finished: begin an answer, and do nothing that cannot be undone.

    Exactly one of ``turn.resumed`` and ``turn.ended`` follows, the latter with this text. At most twice a turn.
    """

    turn: int
    text: str
    language: str
    started_ms: int
    ended_ms: int
    """End of the last voiced audio."""
    probability: float
    """That the turn is over."""
    words: tuple[Word, ...] = ()
    """Times count from the start of the session's audio."""


class TurnResumed(_ServerEvent, frozen=True, kw_only=True, tag="turn.resumed"):
    """The turn was not over at its last ``turn.eager``: forget the answer that was begun.

    What ``say`` was given since then is dropped.
    """

    turn: int


class TurnEnded(_ServerEvent, frozen=True, kw_only=True, tag="turn.ended"):
    """The user's turn is complete. ``text`` is empty if nothing was said (a cough, perhaps), or recognition failed."""

    turn: int
    text: str
    language: str
    started_ms: int
    ended_ms: int
    """End of the last voiced audio."""
    decided_ms: int
    """When silence had lasted long enough."""
    words: tuple[Word, ...] = ()
    """Times count from the start of the session's audio."""
    latency: TurnLatency | None = None
    """How long it took to get here; ``turn.latency`` has the rest."""
    error: ErrorInfo | None = None
    """Why recognition failed: the user said something, and nobody knows what."""
    reason: TurnEndReason = "silence"
    """What ended it: ``command`` is the client's ``commit``."""
    provisional: bool = False
    """The final transcript is late, and the last words may be missing: ``turn.amended`` may follow."""


class TurnAmended(_ServerEvent, frozen=True, kw_only=True, tag="turn.amended"):
    """The final transcript of a turn that ended with a provisional one."""

    turn: int
    text: str
    language: str
    words: tuple[Word, ...] = ()


class TurnReopened(_ServerEvent, frozen=True, kw_only=True, tag="turn.reopened"):
    """The user went on before anything of an answer was heard: the turn is not over, and answers to it are dropped.

    ``turn.ended`` will come again, with all of its text.
    """

    turn: int
    resumed_ms: int


class TurnCleared(_ServerEvent, frozen=True, kw_only=True, tag="turn.cleared"):
    """The client's ``clear`` ended the turn, and it does not count."""

    turn: int


class TurnLimit(_ServerEvent, frozen=True, kw_only=True, tag="turn.limit"):
    """The turn is as long as a turn may be, and ends now."""

    turn: int


class TurnNoResponse(_ServerEvent, frozen=True, kw_only=True, tag="turn.no_response"):
    """No answer to the turn was heard for ``no_response_s``."""

    turn: int


class InputStalled(_ServerEvent, frozen=True, kw_only=True, tag="input.stalled"):
    """Audio stopped coming within a turn, which ends now unless the client ends its turns itself."""

    turn: int


class SessionIdle(_ServerEvent, frozen=True, kw_only=True, tag="session.idle"):
    """Nobody has spoken for ``idle_s``. Published once, until somebody does."""


class DtmfReceived(_ServerEvent, frozen=True, kw_only=True, tag="dtmf"):
    """The user pressed a key of their telephone."""

    digit: DtmfDigit


class TurnLatencyMeasured(_ServerEvent, frozen=True, kw_only=True, tag="turn.latency"):
    """How long the user waited for the answer to a turn: once the client has acknowledged some of it, or it is over."""

    turn: int
    item_id: str
    """The answer: the first item that was heard after the turn."""
    latency: TurnLatency


class SayStarted(_ServerEvent, frozen=True, kw_only=True, tag="say.started"):
    """The agent begins an item."""

    item_id: str
    voice: str
    interruption: Interruption = Interruption.INTERRUPTIBLE


class SayText(_ServerEvent, frozen=True, kw_only=True, tag="say.text"):
    """Text was added to an item. The item's text is these, joined."""

    item_id: str
    text: str


class SayAudio(_ServerEvent, frozen=True, kw_only=True, tag="say.audio"):
    """A piece of the agent's audio. Over WebSocket the next binary frame is its PCM; over SSE it is ``audio``."""

    item_id: str
    epoch: int
    """Grows when the agent is stopped; audio of an older epoch must not be played."""
    offset_ms: int
    """Place of this piece in the item's audio."""
    duration_ms: int
    audio: str | None = None
    """Base64 of 16-bit mono PCM at the session's output rate. Never stored: a resumed stream has it only while it is
    still in memory. Over WebSocket it is null, and a binary frame follows; or empty, and none does, if it is gone."""


class PlaybackDuck(_ServerEvent, frozen=True, kw_only=True, tag="playback.duck"):
    """The user may be speaking: play the item quieter from here on, until ``playback.resume``."""

    item_id: str
    gain_db: float


class PlaybackPause(_ServerEvent, frozen=True, kw_only=True, tag="playback.pause"):
    """Stop playing at once, keep what is buffered of the item, and report the position with ``playback``."""

    item_id: str


class PlaybackResume(_ServerEvent, frozen=True, kw_only=True, tag="playback.resume"):
    """It was no interruption: go on, at full volume."""

    item_id: str
    epoch: int
    """Audio of this epoch and later is valid, besides what is buffered from before ``position_ms``."""
    position_ms: int | None = None
    """Drop what is buffered of the item from this place on, and play what comes: it is sent again from here, the start
    of the interrupted word. Null after ``playback.duck`` alone: nothing was paused, and nothing is sent again."""


class PlaybackStalled(_ServerEvent, frozen=True, kw_only=True, tag="playback.stalled"):
    """A client that used to report its playback position has not for a second, though it should be playing."""

    item_id: str
    played_ms: int
    """Its last report."""


class PlaybackFlush(_ServerEvent, frozen=True, kw_only=True, tag="playback.flush"):
    """Drop what is buffered of this item at once, then report the final position with ``playback``."""

    item_id: str
    epoch: int
    """Audio of this epoch and later is valid."""


class ResponseCancelled(_ServerEvent, frozen=True, kw_only=True, tag="response.cancelled"):
    """The agent lost the floor: stop the language model. What was heard of each item follows in its ``say.ended``."""

    item_ids: tuple[str, ...]
    """What was being said, and what waited to be. They take no more text."""
    reason: Literal["user", "client"]
    """Who took the floor: the user by speaking, or the client by ``stop_speaking``."""


class SayEnded(_ServerEvent, frozen=True, kw_only=True, tag="say.ended"):
    """The agent's item is over, and this is what the user heard of it."""

    item_id: str
    status: SpeechStatus
    heard_text: str
    remaining_text: str
    heard_ms: int
    """How much of the audio reached the ear."""
    duration_ms: int
    """Length of the audio that was sent."""
    heard_source: HeardSource
    words: tuple[AgentWord, ...] = ()
    """The words whose audio was sent, as far as the voice knows when each is spoken."""
    error: ErrorInfo | None = None
    """Why, if ``status`` is ``failed``."""


class SessionError(_ServerEvent, frozen=True, kw_only=True, tag="error"):
    """Something a client sent was refused, or a part of the session failed. The session goes on."""

    error: ErrorInfo


ServerEvent = (
    SessionOpened
    | SessionClosed
    | SpeechStarted
    | SpeechStopped
    | SpeechResumed
    | SpeechBackchannel
    | TranscriptPartial
    | TurnEager
    | TurnResumed
    | TurnEnded
    | TurnAmended
    | TurnReopened
    | TurnCleared
    | TurnLimit
    | TurnNoResponse
    | InputStalled
    | SessionIdle
    | DtmfReceived
    | TurnLatencyMeasured
    | SayStarted
    | SayText
    | SayAudio
    | PlaybackDuck
    | PlaybackPause
    | PlaybackResume
    | PlaybackFlush
    | PlaybackStalled
    | ResponseCancelled
    | SayEnded
    | SessionError
)


class _ClientEvent(Struct, frozen=True, kw_only=True, tag_field="type", forbid_unknown_fields=True):
    pass


class Playback(_ClientEvent, frozen=True, kw_only=True, tag="playback"):
    """A playback acknowledgement: how much of an item has come out of the loudspeaker."""

    item_id: str
    played_ms: Annotated[int, Meta(ge=0)]
    final: bool = False
    """True when playback of this item has stopped and the position will not change any more."""


class Say(_ClientEvent, SpeechOptions, frozen=True, kw_only=True, tag="say"):
    """Speak. With ``more`` the item stays open for further text by ``append_to``."""

    text: str
    """At most :data:`MAX_SAY_CHARS`."""
    voice: str | None = None
    append_to: str | None = None
    more: bool = False
    interruption: Interruption = Interruption.INTERRUPTIBLE
    idempotency_key: str | None = None
    """Sent again with the same key, after a connection broke, it is not spoken again."""


class StopSpeaking(_ClientEvent, frozen=True, kw_only=True, tag="stop_speaking"):
    """Stop the agent and drop what it has queued."""


class Commit(_ClientEvent, frozen=True, kw_only=True, tag="commit"):
    """The user's turn ends with the audio sent so far."""


class Clear(_ClientEvent, frozen=True, kw_only=True, tag="clear"):
    """What the user has said in this turn does not count."""


class Mute(_ClientEvent, frozen=True, kw_only=True, tag="mute"):
    """From the audio sent so far on, the microphone counts as silent, or no longer does."""

    muted: bool


class Dtmf(_ClientEvent, frozen=True, kw_only=True, tag="dtmf"):
    """The user pressed a key of their telephone."""

    digit: DtmfDigit


class Close(_ClientEvent, frozen=True, kw_only=True, tag="close"):
    """Close the session."""


InputCommand = Commit | Clear | Mute | Dtmf
"""Those about the user's input. Over HTTP: ``POST /v1/sessions/{id}/input``."""

ClientEvent = Playback | Say | StopSpeaking | InputCommand | Close
