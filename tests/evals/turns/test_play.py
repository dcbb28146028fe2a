import numpy as np

from evals.turns.dialogue import AgentLine, UserLine, parse
from evals.turns.play import GAP_SAMPLES, OVERDUE_SAMPLES, THINK_SAMPLES, Part, Play, UserPart
from evals.turns.rendering import SpokenLine
from schemas.audio import SESSION_RATE_HZ

STEP = SESSION_RATE_HZ // 50


def parts(text: str, seconds: float = 1.0) -> list[Part]:
    spoken = SpokenLine("", np.zeros(round(seconds * SESSION_RATE_HZ), np.float32))
    return [UserPart(line, spoken) if isinstance(line, UserLine) else line for line in parse(text)]


def until_user(play: Play, now: int, *, silent: bool = True, limit_s: float = 10.0) -> int:
    for at in range(now, now + round(limit_s * SESSION_RATE_HZ), STEP):
        if play.user_speaks(at, agent_is_silent=silent) is not None:
            return at
    raise AssertionError("the user never spoke")


def until_agent(play: Play, now: int, limit_s: float = 10.0) -> tuple[int, AgentLine]:
    for at in range(now, now + round(limit_s * SESSION_RATE_HZ), STEP):
        if (line := play.agent_speaks(at)) is not None:
            return at, line
    raise AssertionError("the agent never spoke")


def test_the_agent_answers_some_time_after_the_turn_ended_and_the_user_when_it_is_silent() -> None:
    play = Play(parts("U: Hello.\nA: Hi.\nU: Bye."))
    begun = until_user(play, 0)
    play.turn_ended(begun + SESSION_RATE_HZ)
    answered, line = until_agent(play, begun + SESSION_RATE_HZ)
    assert line.text == "Hi."
    assert answered - begun - SESSION_RATE_HZ in range(THINK_SAMPLES, THINK_SAMPLES + STEP + 1)
    play.item_created("item_1")
    assert play.user_speaks(answered + 5 * SESSION_RATE_HZ, agent_is_silent=True) is None
    ended = answered + 2 * SESSION_RATE_HZ
    play.item_ended("item_1", ended)
    assert until_user(play, ended) - ended in range(GAP_SAMPLES, GAP_SAMPLES + STEP + 1)
    assert not play.done
    play.turn_ended(ended + 3 * SESSION_RATE_HZ)
    assert play.done


def test_an_answer_is_dropped_when_the_user_goes_on() -> None:
    play = Play(parts("U: Hello.\nA: Hi."))
    begun = until_user(play, 0)
    play.turn_ended(begun + STEP)
    play.user_goes_on()
    assert all(play.agent_speaks(begun + n * STEP) is None for n in range(40))


def test_an_agent_that_was_told_too_early_says_its_line_again() -> None:
    play = Play(parts("U: Hello there.\nA: Hi.", seconds=3.0))
    begun = until_user(play, 0)
    play.turn_ended(begun + SESSION_RATE_HZ)
    answered, _ = until_agent(play, begun + SESSION_RATE_HZ)
    play.item_created("item_1")
    play.item_ended("item_1", answered + STEP)
    play.turn_ended(begun + 3 * SESSION_RATE_HZ + STEP)
    assert until_agent(play, begun + 3 * SESSION_RATE_HZ + STEP)[1].text == "Hi."


def test_the_user_speaks_over_the_agent_where_the_script_says_so() -> None:
    play = Play(parts("U: Hello.\nA: One two three.\nU@1.5 stop: Wait."))
    begun = until_user(play, 0)
    play.turn_ended(begun + SESSION_RATE_HZ)
    now, _ = until_agent(play, begun + SESSION_RATE_HZ)
    play.item_created("item_1")
    play.item_audible("item_1", now)
    over = until_user(play, now, silent=False)
    assert over - now in range(round(1.5 * SESSION_RATE_HZ), round(1.5 * SESSION_RATE_HZ) + STEP + 1)
    assert play.uttered[-1].item_id == "item_1"


def test_what_was_to_be_said_over_an_item_that_is_over_is_skipped() -> None:
    play = Play(parts("U: Hello.\nA: Hi.\nU@9 backchannel: Mhm.\nU: Bye."))
    begun = until_user(play, 0)
    play.turn_ended(begun + SESSION_RATE_HZ)
    now, _ = until_agent(play, begun + SESSION_RATE_HZ)
    play.item_created("item_1")
    play.item_audible("item_1", now)
    play.item_ended("item_1", now + SESSION_RATE_HZ)
    until_user(play, now + SESSION_RATE_HZ)
    assert play.skipped == 1
    assert play.uttered[-1].part.line.text == "Bye."


def test_a_missed_end_does_not_stop_the_conversation() -> None:
    play = Play(parts("U: Hello.\nA: Hi."))
    begun = until_user(play, 0)
    now, _ = until_agent(play, begun)
    assert now >= begun + SESSION_RATE_HZ + OVERDUE_SAMPLES
    assert play.overdue == 1
