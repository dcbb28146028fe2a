"""What each part of a conversation came to: events of the server held against what really happened.

Times are the user's clock: an event counts when it reached the user, sound when it left the loudspeaker.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from evals.turns.device import Played, coverage
from evals.turns.dialogue import Intent
from evals.turns.performance import Performance, Received, Utterance
from evals.turns.rendering import Span
from schemas.audio import SESSION_RATE_HZ

EARLY_MS: Final = 250.0
"""A turn that ends so shortly before the last sound was heard to its end."""
MISSED_MS: Final = 3_000.0
_HOLD_MS: Final = 200.0
"""Shorter holds do not count, as in eot-bench."""
_YIELD_MS: Final = 1_500.0
"""After the last sound of an utterance: an agent that stops later did not stop for it."""
_PAUSE_GRACE_MS: Final = 150.0
"""A decision taken in a hold may arrive when it is just over."""
_RESUMED_MS: Final = 50.0
"""Silence in the middle of an item shorter than this is no pause."""


class HoldOutcome(Struct, frozen=True, kw_only=True):
    """A silence in which the turn was not over."""

    conversation: int
    place: int
    """Of the user's line in the script."""
    duration_ms: float
    cut: bool
    """Whether the server ended the turn in it."""


class TurnOutcome(Struct, frozen=True, kw_only=True):
    """A turn of the user, said while the agent was silent."""

    conversation: int
    place: int
    """Of the user's line in the script."""
    channel: str
    text: str
    end_samples: int
    latency_ms: float | None
    """From the last sound to ``turn.ended``; ``None`` if it never came."""
    talked_into: bool
    """Whether the agent began to speak while the user was not done."""

    @property
    def is_missed(self) -> bool:
        """Whether it took so long that people would say something again."""
        return self.latency_ms is None or self.latency_ms > MISSED_MS


class OverlapOutcome(Struct, frozen=True, kw_only=True):
    """Something the user did while the agent spoke."""

    conversation: int
    place: int
    """Of the user's line in the script."""
    intent: Intent
    text: str
    has_echo: bool
    start_samples: int
    yielded: bool
    """Whether the agent stopped for it."""
    silent_ms: float | None
    """From onset to the agent's silence, if it yielded."""
    ducked_ms: float | None
    """From onset until the agent was quieter or silent."""
    paused: bool
    """Whether the agent fell silent at all."""
    resumed_ms: float | None
    """From falling silent to going on, if it was paused and did go on."""

    @property
    def is_right(self) -> bool:
        """Whether the agent did what was meant."""
        return self.yielded == self.intent.takes_floor


class ItemOutcome(Struct, frozen=True, kw_only=True):
    """Something the agent said."""

    conversation: int
    buffer_ms: int
    status: str
    was_paused: bool
    lost_ms: float
    """Skipped within what was played."""
    replayed_ms: float
    heard_words_error: int | None
    """Words the server believes heard, less those that were; ``None`` without word times."""


class SpeculationOutcome(Struct, frozen=True, kw_only=True):
    """One eager end of turn."""

    conversation: int
    hit: bool
    """Whether the turn ended with the same text."""


class Outcomes(Struct, frozen=True, kw_only=True):
    """Of all conversations."""

    turns: tuple[TurnOutcome, ...] = ()
    holds: tuple[HoldOutcome, ...] = ()
    overlaps: tuple[OverlapOutcome, ...] = ()
    items: tuple[ItemOutcome, ...] = ()
    speculations: tuple[SpeculationOutcome, ...] = ()
    false_starts: int = 0
    """Turns that began where the user said nothing: echo, noise."""
    minutes: float = 0.0


def outcomes(performances: list[Performance]) -> Outcomes:
    """Judge conversations."""
    turns: list[TurnOutcome] = []
    holds: list[HoldOutcome] = []
    overlaps: list[OverlapOutcome] = []
    items: list[ItemOutcome] = []
    speculations: list[SpeculationOutcome] = []
    false_starts, samples = 0, 0
    for number, one in enumerate(performances):
        for utterance in one.utterances:
            if utterance.item_id is not None:
                overlaps.append(_overlap(number, one, utterance))
            elif utterance.intent is Intent.TURN:
                turns.append(_turn(number, one, utterance))
                holds += _holds(number, one, utterance)
        items += _items(number, one)
        speculations += _speculations(number, one)
        false_starts += _false_starts(one)
        samples += max((played.clock_samples + played.count for played in one.played), default=0)
    return Outcomes(
        turns=tuple(turns),
        holds=tuple(holds),
        overlaps=tuple(overlaps),
        items=tuple(items),
        speculations=tuple(speculations),
        false_starts=false_starts,
        minutes=samples / SESSION_RATE_HZ / 60,
    )


def _turn(number: int, one: Performance, utterance: Utterance) -> TurnOutcome:
    earliest = utterance.end_samples - _samples(EARLY_MS)
    ended = next((at.clock_samples for at in _events(one, "turn.ended") if at.clock_samples >= earliest), None)
    following = min(
        (u.start_samples for u in one.utterances if u.start_samples > utterance.start_samples), default=None
    )
    if ended is not None and following is not None and ended > following:
        ended = None
    return TurnOutcome(
        conversation=number,
        place=utterance.place,
        channel=one.channel,
        text=utterance.text,
        end_samples=utterance.end_samples,
        latency_ms=None if ended is None else max(0.0, _ms(ended - utterance.end_samples)),
        talked_into=any(utterance.start_samples < piece.clock_samples < utterance.end_samples for piece in one.played),
    )


def _holds(number: int, one: Performance, utterance: Utterance) -> list[HoldOutcome]:
    ended = [at.clock_samples for at in _events(one, "turn.ended")]

    def is_cut(hold: Span) -> bool:
        return any(hold.start_samples <= at <= hold.end_samples + _samples(_PAUSE_GRACE_MS) for at in ended)

    return [
        HoldOutcome(conversation=number, place=utterance.place, duration_ms=1000 * hold.duration_s, cut=is_cut(hold))
        for hold in utterance.holds
        if 1000 * hold.duration_s >= _HOLD_MS
    ]


def _overlap(number: int, one: Performance, utterance: Utterance) -> OverlapOutcome:
    start = utterance.start_samples
    following = min((u.start_samples for u in one.utterances if u.start_samples > start), default=None)
    until = utterance.end_samples + _samples(_YIELD_MS)
    until = min(until, following) if following is not None else until
    flushes = [
        at.clock_samples
        for at in _events(one, "playback.flush")
        if at.event.item_id == utterance.item_id and start <= at.clock_samples <= until
    ]
    played = [piece for piece in one.played if piece.item_id == utterance.item_id]
    silent_from, silent_to = _silence(played, start, until)
    quiet_from = min(
        (
            max(start, piece.clock_samples)
            for piece in played
            if piece.gain < 1.0 and piece.clock_samples + piece.count > start
        ),
        default=None,
    )
    changes = [at for at in (quiet_from, silent_from) if at is not None and at <= until]
    yielded = bool(flushes)
    return OverlapOutcome(
        conversation=number,
        place=utterance.place,
        intent=utterance.intent,
        text=utterance.text,
        has_echo=one.has_echo,
        start_samples=start,
        yielded=yielded,
        silent_ms=_ms(silent_from - start) if yielded and silent_from is not None else None,
        ducked_ms=_ms(min(changes) - start) if changes else None,
        paused=silent_from is not None and (yielded or silent_to is not None),
        resumed_ms=_ms(silent_to - silent_from) if not yielded and silent_to and silent_from else None,
    )


def _silence(played: list[Played], start: int, until: int) -> tuple[int | None, int | None]:
    """When the item fell silent after ``start``, and when it went on; an item that was over did not fall silent."""
    ends = [piece.clock_samples + piece.count for piece in played]
    for piece, end in zip(played, ends, strict=True):
        if end <= start or end > until:
            continue
        after = min(
            (other.clock_samples for other in played if other.clock_samples >= end and other is not piece), default=None
        )
        if after is None:
            return end, None
        if after - end >= _samples(_RESUMED_MS):
            return end, after
    return None, None


def _items(number: int, one: Performance) -> list[ItemOutcome]:
    found: list[ItemOutcome] = []
    paused = {at.event.item_id for at in _events(one, "playback.pause")}
    for at in _events(one, "say.ended"):
        event = at.event
        played = [piece for piece in one.played if piece.item_id == event.item_id]
        if not played:
            continue
        whole = coverage(list(one.played), event.item_id)
        reached_ms = max(_ms(piece.offset_samples + piece.count) for piece in played)
        truly_heard = sum(word.end_ms <= reached_ms for word in event.words)
        error = len(event.heard_text.split()) - truly_heard if event.words else None
        found.append(
            ItemOutcome(
                conversation=number,
                buffer_ms=one.buffer_ms,
                status=event.status,
                was_paused=event.item_id in paused,
                lost_ms=_ms(whole.lost_samples),
                replayed_ms=_ms(whole.replayed_samples),
                heard_words_error=error,
            )
        )
    return found


def _speculations(number: int, one: Performance) -> list[SpeculationOutcome]:
    found: list[SpeculationOutcome] = []
    eager: str | None = None
    for at in one.received:
        match at.event.type:
            case "turn.eager":
                eager = at.event.text
            case "turn.resumed" if eager is not None:
                found.append(SpeculationOutcome(conversation=number, hit=False))
                eager = None
            case "turn.ended" if eager is not None:
                found.append(SpeculationOutcome(conversation=number, hit=at.event.text == eager))
                eager = None
            case _:
                pass
    return found


def _false_starts(one: Performance) -> int:
    """Turns whose whole speech lies where the user was silent."""
    count = 0
    for at in _events(one, "turn.ended"):
        begin, end = (_samples(at.event.started_ms), _samples(at.event.ended_ms))
        reach = _samples(EARLY_MS)
        count += not any(u.start_samples - reach < end and begin < u.end_samples + reach for u in one.utterances)
    return count


def _events(one: Performance, kind: str) -> list[Received]:
    return [at for at in one.received if at.event.type == kind]


def _ms(samples: int) -> float:
    return samples * 1000 / SESSION_RATE_HZ


def _samples(ms: float) -> int:
    return round(ms * SESSION_RATE_HZ / 1000)
