from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.turns.endpointing import (
    decide,
    fewest_cutoffs,
    first_score,
    frontier,
    least_latency,
    least_median,
    model_and_timeout,
    pipecat,
    silence_alone,
    sweep,
    sweep_silence,
)
from evals.turns.pauses import ClipPauses, Pause, Score
from schemas.audio import SESSION_RATE_HZ

MS = SESSION_RATE_HZ // 1000


def pause(silence_ms: int, scores: list[tuple[int, float]], *, is_end: bool = False, lag_ms: int = 0) -> Pause:
    return Pause(
        clip="a",
        language="en",
        channel="clean",
        is_end=is_end,
        turn_samples=0,
        start_samples=(1_000 + lag_ms) * MS,
        resume_samples=(1_000 + lag_ms + silence_ms) * MS,
        speech_end_samples=1_000 * MS,
        scores=tuple(Score(ms, value) for ms, value in scores),
    )


def clip(holds: list[Pause], ends: list[Pause]) -> ClipPauses:
    return ClipPauses(clip="a", holds=tuple(holds), ends=tuple(ends))


def test_a_hold_is_cut_off_if_the_policy_acts_within_it() -> None:
    corpus = [clip([pause(500, []), pause(900, [])], [pause(3_500, [], is_end=True, lag_ms=50)])]
    decisions = decide(corpus, silence_alone(800))
    assert decisions.cut.tolist() == [0.0, 1.0]
    assert decisions.latency_ms.tolist() == [850.0]


def test_pipecat_asks_once_and_then_waits_three_seconds() -> None:
    unsure, sure = [(200, 0.4), (300, 0.9)], [(200, 0.6)]
    fire = pipecat()
    assert fire(pause(3_500, unsure)) == 3_000
    assert fire(pause(3_500, sure)) == 200


def test_a_model_that_is_asked_again_acts_at_its_first_crossing_but_not_before_its_delay() -> None:
    asked = [(200, 0.4), (300, 0.9)]

    def scores(one: Pause) -> list[tuple[int, float]]:
        return [(score.silence_ms, score.probability) for score in one.scores]

    assert model_and_timeout(scores, 0.5, 200, 3_000)(pause(3_500, asked)) == 300
    assert model_and_timeout(scores, 0.5, 600, 3_000)(pause(3_500, asked)) == 600
    assert model_and_timeout(scores, 0.95, 200, 1_500)(pause(3_500, asked)) == 1_500


def test_what_sounds_after_the_end_puts_the_decision_off() -> None:
    ends = [pause(400, [], is_end=True), pause(3_500, [], is_end=True, lag_ms=600)]
    assert decide([clip([], ends)], silence_alone(300)).latency_ms.tolist() == [300.0]
    assert decide([clip([], ends)], silence_alone(500)).latency_ms.tolist() == [1_100.0]


def test_operating_points_are_the_best_within_a_budget() -> None:
    corpus = [
        clip([pause(250, [(200, 0.1)])], [pause(3_500, [(200, 0.9)], is_end=True)]),
        clip([pause(700, [(200, 0.7)])], [pause(3_500, [(200, 0.8)], is_end=True)]),
    ]
    settings = sweep(corpus, first_score)
    fast = fewest_cutoffs(settings, 300)
    assert fast is not None
    assert fast.cutoff_rate == 0.0
    assert fast.threshold > 0.7
    assert fast.latency_ms <= 300
    assert fewest_cutoffs(settings, 100) is None
    slow = least_latency(sweep_silence(corpus), 0.0)
    assert slow is not None
    assert slow.timeout_ms == 700
    half = least_median(settings, 0.5)
    assert half is not None
    assert (half.cutoff_rate, half.median_ms) == (0.5, 200.0)
    best = frontier(settings)
    assert [one.latency_ms for one in best] == sorted(one.latency_ms for one in best)
    assert all(a.cutoff_rate > b.cutoff_rate for a, b in pairwise(best))


def in_order(pauses: list[Pause]) -> list[Pause]:
    """Ends, each of which begins after what sounded after the one before."""
    found: list[Pause] = []
    for one in pauses:
        shift = found[-1].resume_samples + 100 * MS - one.start_samples if found else 0
        start, resume = one.start_samples + shift, one.resume_samples + shift
        found.append(msgspec.structs.replace(one, is_end=True, start_samples=start, resume_samples=resume))
    return found


SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=5).map(
    lambda values: [(200 + 100 * place, value) for place, value in enumerate(values)]
)
PAUSES = st.builds(pause, st.integers(210, 3_600), SCORES, lag_ms=st.integers(-100, 200))
CLIPS = st.builds(clip, st.lists(PAUSES, max_size=3), st.lists(PAUSES, min_size=1, max_size=2).map(in_order))


@settings(max_examples=10)  # each tries 5,454 policies
@given(st.lists(CLIPS, min_size=1, max_size=4))
def test_the_sweep_of_all_settings_finds_what_each_policy_does(corpus: list[ClipPauses]) -> None:
    swept = sweep(corpus, first_score)
    for setting in swept[:: len(swept) // 7]:
        fire = model_and_timeout(first_score, setting.threshold, setting.action_delay_ms, setting.timeout_ms)
        decisions = decide(corpus, fire)
        assert setting.cutoff_rate == pytest.approx(decisions.cutoff_rate)
        assert setting.latency_ms == pytest.approx(float(np.mean(decisions.latency_ms)))
