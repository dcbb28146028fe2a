import pytest

from evals.turns.core_loop import Odds, simulate
from evals.turns.dialogue import AgentLine, Dialogue, Split, load
from evals.turns.outcomes import outcomes
from evals.turns.performance import Performance
from schemas.sessions import TurnSettings

COUNT = 120


def dialogues() -> list[Dialogue]:
    return [one for one in load(Split.TEST) if any(isinstance(line, AgentLine) for line in one.lines)]


def held(odds: Odds, seed: int = 0, **settings: object) -> list[Performance]:
    return list(simulate(dialogues(), COUNT, TurnSettings(**settings), odds, seed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def performances() -> list[Performance]:
    return held(Odds())


def test_every_conversation_comes_to_its_end(performances: list[Performance]) -> None:
    assert not [one.unfinished for one in performances if one.unfinished]


def test_nothing_is_lost_and_what_was_heard_is_known(performances: list[Performance]) -> None:
    found = outcomes(performances)
    assert len(found.items) > COUNT
    assert max(item.lost_ms for item in found.items) == 0
    assert {abs(item.heard_words_error or 0) for item in found.items} <= {0, 1}


def test_turns_end_and_the_agent_yields(performances: list[Performance]) -> None:
    found = outcomes(performances)
    latencies = sorted(turn.latency_ms for turn in found.turns if turn.latency_ms is not None)
    assert len(latencies) > 0.95 * len(found.turns)
    assert 200 < latencies[len(latencies) // 4] < 600  # those that are surely over
    assert latencies[len(latencies) // 2] < 1_500
    taken = [one.yielded for one in found.overlaps if one.intent.takes_floor]
    assert sum(taken) > 0.9 * len(taken)


def test_the_same_seed_gives_the_same_conversations(performances: list[Performance]) -> None:
    assert [one.received for one in held(Odds())] == [one.received for one in performances]
    assert [one.received for one in held(Odds(), seed=1)] != [one.received for one in performances]


def test_an_agent_that_takes_its_own_echo_for_a_voice_interrupts_itself(performances: list[Performance]) -> None:
    def completed(found: list[Performance]) -> int:
        return sum(at.event.status == "completed" for one in found for at in one.received)

    assert completed(performances) > COUNT / 4
    assert completed(held(Odds(echo_voiced=0.9))) < completed(performances) / 2
