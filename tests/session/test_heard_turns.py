"""Which turns are handed out, and when."""

from __future__ import annotations

from schemas.events import TurnAmended, TurnEnded
from schemas.sessions import UserTurn
from session.heard_turns import HeardTurns
from session.history import History


def ended(turn: int, text: str, *, provisional: bool = False) -> TurnEnded:
    return TurnEnded(
        turn=turn, text=text, language="en", started_ms=0, ended_ms=1, decided_ms=2, provisional=provisional
    )


def eager(turn: int, text: str) -> UserTurn:
    return UserTurn(turn=turn, text=text, language="en", started_ms=0, ended_ms=1, confirmed=False)


def text_of(turn: UserTurn | None) -> str | None:
    return turn and turn.text


def test_each_turn_with_words_is_handed_out_once() -> None:
    turns = HeardTurns(History([ended(1, "One."), ended(2, ""), ended(3, "Three.")]))
    assert [text_of(turns.take(None)) for _ in range(3)] == ["One.", "Three.", None]
    assert text_of(turns.take(2)) == "Three."


def test_an_eager_turn_is_handed_out_once_and_only_to_who_wants_it() -> None:
    turns = HeardTurns(History())
    turns.offer_eager(eager(1, "One."))
    assert turns.take(None) is None
    assert turns.take(1, is_eager=True) is None
    assert text_of(turns.take(None, is_eager=True)) == "One."
    assert turns.take(None, is_eager=True) is None


def test_an_eager_turn_that_was_resumed_is_not_handed_out() -> None:
    turns = HeardTurns(History())
    turns.offer_eager(eager(1, "One."))
    turns.void_eager()
    assert turns.take(None, is_eager=True) is None


def test_a_complete_turn_goes_before_an_eager_one() -> None:
    turns = HeardTurns(History([ended(1, "One.")]))
    turns.offer_eager(eager(2, "Two."))
    assert [text_of(turns.take(None, is_eager=True)) for _ in range(2)] == ["One.", "Two."]


def test_a_reopened_turn_is_held_back_and_comes_again_when_it_has_ended() -> None:
    history = History([ended(1, "One.")])
    turns = HeardTurns(history)
    assert text_of(turns.take(None)) == "One."
    turns.reopen(1)
    assert turns.take(None) is None
    history.add(ended(1, "One and a half."))
    assert turns.take(None) is None
    turns.close()
    assert text_of(turns.take(1)) == "One and a half."
    assert turns.take(1) is None


def test_a_turn_that_is_reopened_before_it_was_handed_out_comes_once() -> None:
    history = History([ended(1, "One.")])
    turns = HeardTurns(history)
    turns.reopen(1)
    assert turns.take(None) is None
    history.add(ended(1, "One and a half."))
    turns.close()
    assert [text_of(turns.take(None)) for _ in range(2)] == ["One and a half.", None]


def test_history_holds_a_reopened_turn_once_and_an_amended_one_as_it_is_known_now() -> None:
    history = History([ended(1, "One."), ended(2, "Two, provi", provisional=True), ended(1, "One and a half.")])
    history.add(TurnAmended(turn=2, text="Two.", language="en"))
    history.add(TurnAmended(turn=7, text="Seven.", language="en"))
    first, second = history.user_turns(0)
    assert (first.text, first.revision) == ("One and a half.", 2)
    assert (second.text, second.provisional) == ("Two.", False)
    assert history.items == (first, second)
