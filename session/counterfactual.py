"""A decision log under other settings: which turns would have ended when.

Open loop: what people and programs did is what they did under the settings of the log, and stays as it was, also where
they would have acted otherwise. What the core asks for is answered from the log: by models with what they said of the
audio that is nearest, after as long as it took them; by playback in the time it took.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from schemas.errors import ErrorCode, SpeechError
from schemas.sessions import TurnSettings
from session.decision_log import DecisionLog, decoded_actions
from session.turn import step
from session.turn_actions import (
    AwaitFinalPosition,
    CancelFinal,
    CancelSpeech,
    CommitTurn,
    FinalizeAsr,
    HearOverlap,
    PartialAsr,
    ReopenTurn,
    ScoreEndOfTurn,
    SetTimer,
    StartItem,
    Timer,
    TurnAction,
)
from session.turn_events import (
    EndOfTurnScore,
    FinalPosition,
    FinalReady,
    ItemAudible,
    ItemPlayed,
    OverlapHeard,
    PartialReady,
    TimerExpired,
    TurnEvent,
)
from session.turn_state import ms_of_samples

SAME_PAUSE_MS: Final = 300
"""Ends of speech that are closer are the same one: other thresholds of voice activity move it by frames."""


class TurnEnd(Struct, frozen=True, kw_only=True):
    """The end of a turn, as it was and as it would have been."""

    speech_end_ms: int
    """On the session's clock."""
    logged_ms: int | None
    """Silence after which the turn was ended; ``None`` if it went on."""
    counterfactual_ms: int | None
    """The same under the other settings."""


def changed_settings(settings: TurnSettings, changes: dict[str, str]) -> TurnSettings:
    """Settings with other values, which are given as texts; ``null`` is none.

    Raises:
        SpeechError: ``invalid_request``.
    """
    given = {name: None if value == "null" else value for name, value in changes.items()}
    try:
        return msgspec.convert({**msgspec.to_builtins(settings), **given}, TurnSettings, strict=False)
    except msgspec.ValidationError as error:
        raise SpeechError(
            ErrorCode.INVALID_REQUEST,
            f"These are no settings of turn-taking: {error}. There are: {', '.join(TurnSettings.__struct_fields__)}.",
            param="set",
        ) from error


def counterfactual(log: DecisionLog, settings: TurnSettings) -> tuple[TurnEnd, ...]:
    """The ends of turns in a log, and what they would have been under other settings.

    Raises:
        SpeechError: ``unsupported_log``.
    """
    logged = [action for entry in log.entries for action in decoded_actions(entry, log.header)]
    return _aligned(_ends(logged), _ends(_Rerun(log, settings).actions))


class _Known(Struct, frozen=True):
    """An answer of the log: about the audio up to where, and after how long."""

    end_samples: int
    latency_us: int
    event: TurnEvent


def _questions(action: TurnAction) -> dict[str, int]:
    """What an action asks for, by a key, and about the audio up to where."""
    match action:
        case PartialAsr() | FinalizeAsr() | ScoreEndOfTurn() | HearOverlap():
            return {type(action).__name__: action.end_samples}
        case SetTimer():
            return {f"{action.timer} timer": 0}
        case StartItem():
            return {f"{action.item_id} audible": 0, f"{action.item_id} played": 0}
        case AwaitFinalPosition():
            return {f"{action.item_id} position": 0}
        case _:
            return {}


def _voided(action: TurnAction) -> Sequence[str]:
    """What is not answered any more once this is done."""
    match action:
        case FinalizeAsr() | CancelFinal():
            return (PartialAsr.__name__, FinalizeAsr.__name__)
        case CancelSpeech():
            return (f"{action.item_id} audible", f"{action.item_id} played")
        case SetTimer():
            return (f"{action.timer} timer",)
        case _:
            return ()


def _answered(event: TurnEvent) -> str | None:
    """What an event answers; ``None`` if it is nothing that the core had asked for."""
    match event:
        case PartialReady():
            return PartialAsr.__name__
        case FinalReady():
            return FinalizeAsr.__name__
        case EndOfTurnScore():
            return ScoreEndOfTurn.__name__
        case OverlapHeard():
            return HearOverlap.__name__
        case TimerExpired():
            return f"{event.timer} timer"
        case ItemAudible():
            return f"{event.item_id} audible"
        case ItemPlayed():
            return f"{event.item_id} played"
        case FinalPosition():
            return f"{event.item_id} position"
        case _:
            return None


def _known_answers(log: DecisionLog) -> dict[str, list[_Known]]:
    open_questions: dict[str, tuple[int, int]] = {}
    known: dict[str, list[_Known]] = {}
    for entry in log.entries:
        key = _answered(entry.event)
        if key is not None and key in open_questions:
            end_samples, asked_us = open_questions.pop(key)
            known.setdefault(key, []).append(_Known(end_samples, entry.us - asked_us, entry.event))
        for action in decoded_actions(entry, log.header):
            for key in _voided(action):
                open_questions.pop(key, None)
            for key, end_samples in _questions(action).items():
                open_questions.setdefault(key, (end_samples, entry.us))
    return known


class _Rerun:
    """The core over the events of a log, with answers to what it asks now."""

    def __init__(self, log: DecisionLog, settings: TurnSettings) -> None:
        self.actions: list[TurnAction] = []
        self._settings = settings
        self._state = log.header.state
        self._known = _known_answers(log)
        self._due: dict[str, tuple[int, TurnEvent]] = {}
        """Answers that are under way, and when they arrive."""
        end_us = 0
        for entry in log.entries:
            self._deliver(entry.us)
            if _answered(entry.event) is None:
                self._send(entry.event, entry.us)
            end_us = entry.us
        self._deliver(end_us)

    def _deliver(self, until_us: int) -> None:
        while self._due:
            key, (due_us, event) = min(self._due.items(), key=lambda item: item[1][0])
            if due_us > until_us:
                return
            del self._due[key]
            self._send(event, due_us)

    def _send(self, event: TurnEvent, now_us: int) -> None:
        self._state, actions = step(self._state, event, self._settings)
        self.actions += actions
        for action in actions:
            for key in _voided(action):
                self._due.pop(key, None)
            for key, end_samples in _questions(action).items():
                nearest = min(
                    self._known.get(key, ()), key=lambda known: abs(known.end_samples - end_samples), default=None
                )
                if key not in self._due and (answer := _answer(action, key, nearest)) is not None:
                    after_us, event = answer
                    self._due[key] = (now_us + after_us, event)


def _answer(action: TurnAction, key: str, known: _Known | None) -> tuple[int, TurnEvent] | None:
    """What a question is answered with, and after how long; ``None`` if it is not."""
    latency_us = 0 if known is None else known.latency_us
    event = None if known is None else known.event
    match action:
        case PartialAsr():
            return (latency_us, replace(event, turn=action.turn)) if isinstance(event, PartialReady) else None
        case FinalizeAsr():
            final = event if isinstance(event, FinalReady) else FinalReady(action.generation)
            return latency_us, replace(final, generation=action.generation)
        case ScoreEndOfTurn():
            scored = isinstance(event, EndOfTurnScore)
            return (latency_us, EndOfTurnScore(action.generation, event.probability)) if scored else None
        case HearOverlap():
            heard = isinstance(event, OverlapHeard)
            return (latency_us, replace(event, start_samples=action.overlap_samples)) if heard else None
        case SetTimer(timer=Timer.COMMIT) if known is None:
            return None  # it waits for as long as final transcripts usually take: none was later
        case SetTimer():
            return latency_us or action.after_ms * 1000, TimerExpired(action.timer, action.generation)
        case AwaitFinalPosition():
            return latency_us or action.timeout_ms * 1000, FinalPosition(action.item_id)
        case StartItem():
            if event is not None:
                return latency_us, event
            # It was never begun: nobody knows how long it is.
            return 0, ItemPlayed(action.item_id) if key.endswith("played") else ItemAudible(action.item_id)
        case _:
            return None


def _ends(actions: Sequence[TurnAction]) -> dict[int, int]:
    """Ends of speech after which a turn ended, and the silence there was, in milliseconds."""
    ends: dict[int, int] = {}
    last: int | None = None
    for action in actions:
        match action:
            case CommitTurn():
                last = ms_of_samples(action.end_samples)
                ends[last] = ms_of_samples(action.decided_samples - action.end_samples)
            case ReopenTurn() if last is not None:
                ends.pop(last, None)
            case _:
                pass
    return ends


def _aligned(logged: dict[int, int], rerun: dict[int, int]) -> tuple[TurnEnd, ...]:
    """Both, in order of time. An end of one belongs to the nearest of the other, if it is the same pause."""
    rest = dict(rerun)
    rows: list[TurnEnd] = []
    for end_ms, silence_ms in logged.items():
        same = min(rest, key=lambda other_ms: abs(other_ms - end_ms), default=None)
        found = same if same is not None and abs(same - end_ms) <= SAME_PAUSE_MS else None
        other_ms = None if found is None else rest.pop(found)
        rows.append(TurnEnd(speech_end_ms=end_ms, logged_ms=silence_ms, counterfactual_ms=other_ms))
    rows += [TurnEnd(speech_end_ms=end_ms, logged_ms=None, counterfactual_ms=ms) for end_ms, ms in rest.items()]
    return tuple(sorted(rows, key=lambda row: row.speech_end_ms))
