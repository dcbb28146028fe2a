"""Conversations with the turn core alone, in virtual time: thousands in seconds, for what is rare.

The user, the script and the device are those of the real-time loop; engines and network are drawn. This is the one
module of ``evals`` that reaches past public interfaces, to the pure core, which has no interface but its function.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from msgspec import Struct

from evals.turns.corpus import rng_of
from evals.turns.device import Device
from evals.turns.dialogue import AgentLine, Dialogue, Intent, UserLine
from evals.turns.performance import Performance, Received, WireEvent, WordPlace
from evals.turns.play import Part, Play, UserPart, performed
from evals.turns.rendering import Span, SpokenLine, draw_hold_s
from evals.turns.scenario import BUFFERS_MS
from schemas.audio import SESSION_RATE_HZ, VAD_FRAME_SAMPLES, Samples
from schemas.sessions import TurnSettings
from session.lexicons import text_cues
from session.turn import step
from session.turn_actions import (
    AwaitFinalPosition,
    CancelSpeculation,
    CancelSpeech,
    CommitTurn,
    DropItem,
    DuckItem,
    EndItem,
    FinalizeAsr,
    FlushPlayback,
    HearOverlap,
    PauseItem,
    ReopenTurn,
    ResumeItem,
    ScoreEndOfTurn,
    SetTimer,
    SpeculateTurn,
    StartItem,
    TruncateItem,
    TurnAction,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    UnduckItem,
)
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    ItemAudible,
    ItemPlayed,
    OverlapHeard,
    SayRequested,
    TimerExpired,
    TurnEvent,
    VadFrame,
)
from session.turn_state import TurnState

_WORD_S: Final = 0.32
_CONFIDENCE: Final = 0.9
"""Of the words that are recognised over the agent's voice."""
_LIMIT_SAMPLES: Final = 180 * SESSION_RATE_HZ
_LEAD_MS: Final = 3_000
_PIECE_MS: Final = 100
_PIECE: Final = np.full(_PIECE_MS * SESSION_RATE_HZ // 1000, 0.1, np.float32)
_LENGTHS_S: Final = {Intent.COUGH: 0.4, Intent.NOISE: 0.25}
"""Of what has no words."""
_VOICED: Final = {Intent.COUGH: 0.6, Intent.NOISE: 0.3, Intent.SIDE: 0.55}
"""How much of it a VAD takes for voice; of the user's own words, nearly all."""


class Odds(Struct, frozen=True, kw_only=True):
    """How the models and the network behave."""

    asr_ms: tuple[float, float] = (150.0, 500.0)
    """How long a final transcript takes: from, to."""
    score_ms: tuple[float, float] = (20.0, 80.0)
    network_ms: tuple[float, float] = (5.0, 60.0)
    """One way."""
    first_audio_ms: tuple[float, float] = (80.0, 300.0)
    end_score: tuple[float, float] = (1.8, 0.6)
    """Beta distribution of the turn detector's score at an end, and in a hold: as those of the calibration split. It is
    drawn once for each pause: asked again, the detector says much the same."""
    hold_score: tuple[float, float] = (0.2, 0.6)
    end_words: tuple[float, float] = (1.9, 3.2)
    """Beta distribution of the probability that a sentence ends behind the words, in the same way. It is drawn for each
    final transcript."""
    hold_words: tuple[float, float] = (0.6, 2.6)
    voiced: float = 0.97
    """Share of voiced frames that the VAD takes for voice."""
    echo_voiced: float = 0.0
    """Share of frames of the agent's own voice that it does."""


def sketch(dialogue: Dialogue, rng: np.random.Generator) -> list[Part]:
    """A dialogue without sound: a constant pace, holds drawn."""
    return [UserPart(line, _spoken(line, rng)) if isinstance(line, UserLine) else line for line in dialogue.lines]


def _spoken(line: UserLine, rng: np.random.Generator) -> SpokenLine:
    words = line.text.split()
    if line.intent in _LENGTHS_S:
        return SpokenLine(line.text, np.zeros(round(_LENGTHS_S[line.intent] * SESSION_RATE_HZ), np.float32))
    holds: list[Span] = []
    paused_s = 0.0
    for hold in line.holds:
        start_s = hold.after_word * _WORD_S + paused_s
        paused_s += draw_hold_s(rng) if hold.silence_s is None else hold.silence_s
        end_s = hold.after_word * _WORD_S + paused_s
        holds.append(Span(round(start_s * SESSION_RATE_HZ), round(end_s * SESSION_RATE_HZ)))
    length = round((len(words) * _WORD_S + paused_s) * SESSION_RATE_HZ)
    return SpokenLine(line.text, np.zeros(length, np.float32), tuple(holds))


def simulate(
    dialogues: Sequence[Dialogue], count: int, settings: TurnSettings, odds: Odds, seed: int = 0
) -> Iterator[Performance]:
    """So many conversations, the dialogues in turn."""
    for number in range(count):
        dialogue = dialogues[number % len(dialogues)]
        name = f"{dialogue.language}.{dialogue.name}.{number}"
        rng = rng_of(seed, name)
        buffer_ms = BUFFERS_MS[number % len(BUFFERS_MS)]
        conversation = _Conversation(sketch(dialogue, rng), dialogue.language, buffer_ms, settings, odds, rng)
        yield conversation.performance(name)


class _Item:
    def __init__(self, item_id: str, text: str) -> None:
        self.item_id = item_id
        self.words = text.split()
        self.duration_ms = round(1000 * _WORD_S * len(self.words))
        self.sent_ms = 0
        self.live = False
        self.audible = False
        self.paused = False
        self.final_ms: int | None = None


class _Conversation:
    def __init__(
        self,
        parts: Sequence[Part],
        language: str,
        buffer_ms: int,
        settings: TurnSettings,
        odds: Odds,
        rng: np.random.Generator,
    ) -> None:
        self._language = language
        self._play = Play(parts)
        self._device = Device(buffer_ms)
        self._buffer_ms = buffer_ms
        self._settings = settings
        self._odds = odds
        self._rng = rng
        self._state = TurnState()
        self._items: dict[str, _Item] = {}
        self._received: list[Received] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._score = (-1, 0.0)
        self._scheduled = 0
        self._delivered = 0
        self._now = 0

    def performance(self, name: str) -> Performance:
        """Hold it."""
        while not self._play.done and self._now < _LIMIT_SAMPLES:
            self._frame()
        for _ in range(2 * SESSION_RATE_HZ // VAD_FRAME_SAMPLES):
            self._frame()
        return Performance(
            name=name,
            language=self._language,
            voice="",
            channel="drawn",
            has_echo=self._odds.echo_voiced > 0,
            buffer_ms=self._buffer_ms,
            utterances=tuple(performed(one) for one in self._play.uttered),
            received=tuple(self._received),
            played=tuple(self._device.played),
            unfinished="" if self._play.done else "took too long",
        )

    def _frame(self) -> None:
        self._play.user_speaks(self._now, agent_is_silent=self._device.is_silent)
        if line := self._play.agent_speaks(self._now):
            self._say(line)
        played = self._device.play(VAD_FRAME_SAMPLES)
        self._now += VAD_FRAME_SAMPLES
        while self._due and self._due[0][0] <= self._now:
            heapq.heappop(self._due)[2]()
        for item in list(self._items.values()):
            self._push(item)
        self._dispatch(VadFrame(self._voice(played)))

    def _voice(self, played: Samples) -> float:
        """What the VAD makes of the frame that has just passed."""
        share = self._odds.echo_voiced if played.any() else 0.0
        middle = self._now - VAD_FRAME_SAMPLES // 2
        for uttered in self._play.uttered[-2:]:
            place = middle - uttered.start_samples
            holds = uttered.part.spoken.holds
            if 0 <= place < len(uttered.part.spoken.samples) and not any(
                hold.start_samples <= place < hold.end_samples for hold in holds
            ):
                share = max(share, _VOICED.get(uttered.part.line.intent, self._odds.voiced))
        return 0.95 if self._rng.random() < share else 0.05

    # The server

    def _dispatch(self, event: TurnEvent) -> None:
        self._state, actions = step(self._state, event, self._settings)
        for action in actions:
            self._perform(action)

    def _perform(self, action: TurnAction) -> None:  # noqa: C901, PLR0912, PLR0915  one case an action
        match action:
            case TurnStarted():
                self._tell(WireEvent(type="speech.started", turn=action.turn))
            case TurnPaused():
                self._tell(WireEvent(type="speech.stopped", turn=action.turn))
            case TurnResumed():
                self._tell(WireEvent(type="speech.resumed", turn=action.turn))
            case ReopenTurn():
                self._tell(WireEvent(type="turn.reopened", turn=action.turn))
            case SpeculateTurn():
                self._tell(WireEvent(type="turn.eager", turn=action.turn, text=action.text))
            case CancelSpeculation():
                self._tell(WireEvent(type="turn.resumed", turn=action.turn))
            case FinalizeAsr():
                text = self._words(self._now)
                ends = self._draw(self._odds.end_words, self._odds.hold_words)
                final = FinalReady(action.generation, text, self._language, text_cues(text, self._language, ends))
                self._after(self._odds.asr_ms, lambda: self._dispatch(final))
            case HearOverlap():
                text = self._words(action.end_samples)
                cues = text_cues(text, self._language)
                heard = OverlapHeard(action.overlap_samples, action.end_samples, text, cues, _CONFIDENCE)
                self._after(self._odds.asr_ms, lambda: self._dispatch(heard))
            case SetTimer():
                expired = TimerExpired(action.timer, action.generation)
                self._after((action.after_ms, action.after_ms), lambda: self._dispatch(expired))
            case ScoreEndOfTurn():
                score = self._score_of(action.generation)
                self._after(self._odds.score_ms, lambda: self._dispatch(EndOfTurnScore(action.generation, score)))
            case CommitTurn():
                begun, ended = (_ms(at) for at in (action.start_samples, action.end_samples))
                self._tell(
                    WireEvent(type="turn.ended", turn=action.turn, text=action.text, started_ms=begun, ended_ms=ended)
                )
            case StartItem():
                item = self._items[action.item_id]
                self._after(self._odds.first_audio_ms, lambda: self._go_live(item))
            case DuckItem():
                duck = WireEvent(type="playback.duck", item_id=action.item_id, gain_db=action.gain_db)
                self._tell(duck)
            case UnduckItem():
                self._tell(WireEvent(type="playback.resume", item_id=action.item_id))
            case PauseItem():
                self._items[action.item_id].paused = True
                self._tell(WireEvent(type="playback.pause", item_id=action.item_id))
            case ResumeItem():
                self._resume(self._items[action.item_id])
            case FlushPlayback():
                self._tell(WireEvent(type="playback.flush", item_id=action.item_id))
            case CancelSpeech():
                self._items[action.item_id].live = False
            case AwaitFinalPosition():
                wait_ms = float(action.timeout_ms)
                self._after((wait_ms, wait_ms), lambda: self._dispatch(FinalPosition(action.item_id)))
            case TruncateItem() | DropItem() | EndItem():
                self._end(action.item_id, interrupted=not isinstance(action, EndItem))
            case _:
                pass

    def _words(self, until_samples: int) -> str:
        """What the user has said last, as far as it was recognised."""
        last = self._play.uttered[-1] if self._play.uttered else None
        if last is None or last.part.line.intent in _LENGTHS_S:
            return ""
        said = (until_samples - last.start_samples) / SESSION_RATE_HZ / _WORD_S
        return " ".join(last.part.line.text.split()[: max(0, round(said))])

    def _resume(self, item: _Item) -> None:
        word_ms = round(1000 * _WORD_S)
        item.paused = False
        item.sent_ms = self._device.position_ms(item.item_id) // word_ms * word_ms
        self._tell(WireEvent(type="playback.resume", item_id=item.item_id, position_ms=item.sent_ms))

    def _score_of(self, generation: int) -> float:
        if self._score[0] != generation:
            self._score = (generation, self._draw(self._odds.end_score, self._odds.hold_score))
        return self._score[1]

    def _draw(self, at_end: tuple[float, float], in_hold: tuple[float, float]) -> float:
        return float(self._rng.beta(*(at_end if self._is_end() else in_hold)))

    def _is_end(self) -> bool:
        last = self._play.uttered[-1] if self._play.uttered else None
        return last is None or self._now >= last.end_samples

    def _say(self, line: AgentLine) -> None:
        item_id = f"item_{len(self._received)}_{self._now}"
        self._items[item_id] = _Item(item_id, line.text)
        self._play.item_created(item_id)
        self._after(self._odds.network_ms, lambda: self._dispatch(SayRequested(item_id)))

    def _go_live(self, item: _Item) -> None:
        item.live = item.final_ms is None

    def _push(self, item: _Item) -> None:
        """Send audio as far ahead as a session does, and notice when all was played."""
        position_ms = self._device.position_ms(item.item_id)
        if position_ms:
            self._play.item_audible(item.item_id, self._now)
        while (
            item.live and not item.paused and item.sent_ms < item.duration_ms and item.sent_ms - position_ms < _LEAD_MS
        ):
            offset_ms = item.sent_ms
            if not item.audible:
                item.audible = True
                self._dispatch(ItemAudible(item.item_id))
            item.sent_ms += _PIECE_MS
            self._deliver(lambda at=offset_ms: self._device.push(item.item_id, at, _PIECE))
        if item.live and position_ms >= item.duration_ms:
            item.live = False
            self._after(self._odds.network_ms, lambda: self._dispatch(ItemPlayed(item.item_id)))

    def _end(self, item_id: str, *, interrupted: bool) -> None:
        item = self._items.pop(item_id)
        heard_ms = item.final_ms if interrupted else item.duration_ms
        word_ms = round(1000 * _WORD_S)
        places = [WordPlace(word, n * word_ms, (n + 1) * word_ms) for n, word in enumerate(item.words)]
        heard = [place.text for place in places if place.end_ms <= (heard_ms or 0)]
        status = "interrupted" if interrupted else "completed"
        self._tell(
            WireEvent(type="say.ended", item_id=item_id, status=status, heard_text=" ".join(heard), words=tuple(places))
        )

    # The network

    def _after(self, ms: tuple[float, float], act: Callable[[], None]) -> None:
        self._at(self._now + round(self._rng.uniform(*ms) * SESSION_RATE_HZ / 1000), act)

    def _at(self, due_samples: int, act: Callable[[], None]) -> None:
        self._scheduled += 1
        heapq.heappush(self._due, (due_samples, self._scheduled, act))

    def _deliver(self, act: Callable[[], None]) -> None:
        """To the client, in order: a connection delivers late, but nothing overtakes."""
        due = self._now + round(self._rng.uniform(*self._odds.network_ms) * SESSION_RATE_HZ / 1000)
        self._delivered = max(due, self._delivered)
        self._at(self._delivered, act)

    def _tell(self, event: WireEvent) -> None:
        self._deliver(lambda: self._obey(event))

    def _obey(self, event: WireEvent) -> None:
        self._received.append(Received(self._now, event))
        match event.type:
            case "turn.ended":
                self._play.turn_ended(self._now)
            case "speech.started" | "speech.resumed" | "turn.reopened":
                self._play.user_goes_on()
            case "say.ended":
                self._play.item_ended(event.item_id, self._now)
            case "playback.duck":
                self._device.duck(event.item_id, event.gain_db or 0.0)
            case "playback.pause":
                self._device.pause(event.item_id)
            case "playback.resume":
                self._device.resume(event.item_id, event.position_ms)
            case "playback.flush":
                final_ms = self._device.flush(event.item_id)
                self._after(self._odds.network_ms, lambda: self._final_position(event.item_id, final_ms))
            case _:
                pass

    def _final_position(self, item_id: str, final_ms: int) -> None:
        if item_id in self._items:
            self._items[item_id].final_ms = final_ms
            self._dispatch(FinalPosition(item_id))


def _ms(samples: int) -> int:
    return samples * 1000 // SESSION_RATE_HZ
