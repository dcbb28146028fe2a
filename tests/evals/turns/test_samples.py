"""Turn policies by the gate: a worse one is caught, and the same one passes."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from evals.comparison.change import change
from evals.comparison.pairs import paired, read_run
from evals.environment import conditions
from evals.output import write
from evals.report import Report, Row, Section
from evals.samples import Sample
from evals.turns.core_loop import Odds, simulate
from evals.turns.corpus import TurnClip
from evals.turns.device import Played
from evals.turns.dialogue import AgentLine, Intent, Split, load
from evals.turns.endpoint_figures import Ours
from evals.turns.endpointing import first_score, silence_alone
from evals.turns.pauses import ClipPauses, Pause
from evals.turns.performance import Performance
from evals.turns.rendering import Span
from evals.turns.samples import conversation_samples, pause_samples
from evals.turns.sections import conversations_section, pauses_section
from schemas.audio import SESSION_RATE_HZ
from schemas.sessions import TurnProfile, TurnSettings

MS = SESSION_RATE_HZ // 1000
CONVERSATIONS = 60
CLIPS = 40


def gated(
    before: tuple[Section, Sequence[Sample]], after: tuple[Section, Sequence[Sample]], folder: Path
) -> dict[str, Row]:
    """The rows of the comparison that the default gate judges."""
    runs = {"before": before, "after": after}
    for name, (section, samples) in runs.items():
        (folder / name).mkdir()
        write(Report(conditions=conditions("inproc", 0), sections=(section,)), list(samples), folder / name)
    pairs = paired(*(read_run(folder / name) for name in runs))
    return {row.id: row for row in change(pairs, None, "Change").rows if row.verdict}


def missed(rows: dict[str, Row]) -> set[str]:
    return {row.id for row in rows.values() if row.verdict == "missed"}


def held(settings: TurnSettings) -> list[Performance]:
    dialogues = [one for one in load(Split.TEST) if any(isinstance(line, AgentLine) for line in one.lines)]
    return list(simulate(dialogues, CONVERSATIONS, settings, Odds(), 0))


def of_conversations(performances: list[Performance]) -> tuple[Section, list[Sample]]:
    return conversations_section("core", "Core", performances, 1.0), conversation_samples(performances, "core")


@pytest.fixture(scope="module")
def balanced() -> list[Performance]:
    return held(TurnSettings())


def test_the_same_conversations_pass_with_every_figure_judged(balanced: list[Performance], tmp_path: Path) -> None:
    rows = gated(of_conversations(balanced), of_conversations(balanced), tmp_path)
    assert not missed(rows)
    assert rows.keys() >= {
        *("core.cutoffs", "core.talked_into", "core.missed", "core.latency_p50", "core.latency_p95"),
        *("core.yield_rate", "core.right.backchannel", "core.silent_p95", "core.lost_ms"),
    }


def test_a_policy_that_waits_longer_is_caught(balanced: list[Performance], tmp_path: Path) -> None:
    slow = held(TurnSettings(silence_duration_ms=2_000))
    assert "core.latency_p50" in missed(gated(of_conversations(balanced), of_conversations(slow), tmp_path))


def test_a_policy_that_cuts_off_more_is_caught(balanced: list[Performance], tmp_path: Path) -> None:
    hasty = held(TurnSettings(silence_duration_ms=300))
    assert "core.cutoffs" in missed(gated(of_conversations(balanced), of_conversations(hasty), tmp_path))


def test_a_quicker_profile_is_no_slower(balanced: list[Performance], tmp_path: Path) -> None:
    fast = held(TurnSettings(profile=TurnProfile.FAST))
    caught = missed(gated(of_conversations(balanced), of_conversations(fast), tmp_path))
    assert not caught & {"core.latency_p50", "core.latency_p95"}


def test_an_agent_that_does_not_yield_is_caught(balanced: list[Performance], tmp_path: Path) -> None:
    deaf = held(TurnSettings(barge_in=False))
    assert missed(gated(of_conversations(balanced), of_conversations(deaf), tmp_path)) >= {
        "core.yield_rate",
        f"core.right.{Intent.STOP.value}",
    }


def test_audio_that_was_lost_fails_whatever_it_was_before(balanced: list[Performance], tmp_path: Path) -> None:
    def skipping(one: Performance) -> Performance:
        first, *others = one.played
        later = Played(first.item_id, first.clock_samples, first.offset_samples, first.count - 160, first.gain)
        return msgspec.structs.replace(one, played=(later, *others))

    lossy = of_conversations([skipping(one) if one.played else one for one in balanced])
    assert "core.lost_ms" in missed(gated(lossy, lossy, tmp_path))


def test_a_line_is_the_same_whatever_was_skipped_before_it(balanced: list[Performance]) -> None:
    samples = conversation_samples(balanced, "core")
    assert len({one.id for one in samples}) == len(samples)
    other = {one.id: one for one in conversation_samples(held(TurnSettings(barge_in=False)), "core")}
    turns = [one for one in samples if "core.missed" in one.ratios and one.id in other]
    assert len(turns) > CONVERSATIONS
    assert all("core.yield_rate" not in other[one.id].ratios for one in turns)


def clip(number: int) -> tuple[TurnClip, ClipPauses]:
    """A hold, shorter from clip to clip, and the end."""

    def pause(silence_ms: int, *, is_end: bool) -> Pause:
        return Pause(
            clip=f"c{number}",
            language="en",
            channel="clean",
            is_end=is_end,
            turn_samples=0,
            start_samples=1_000 * MS,
            resume_samples=(1_000 + silence_ms) * MS,
            speech_end_samples=1_000 * MS,
        )

    turn = TurnClip(
        name=f"c{number}",
        language="en",
        voice="alto",
        channel="clean",
        text="",
        samples=np.zeros(0, np.float32),
        speech=Span(0, 1_000 * MS),
        holds=(),
        block=f"dialogue {number // 2}",
    )
    holds, ends = (pause(300 + 20 * number, is_end=False),), (pause(3_500, is_end=True),)
    return turn, ClipPauses(clip=turn.name, holds=holds, ends=ends)


def of_pauses(timeout_ms: float) -> tuple[Section, list[Sample]]:
    clips, corpus = zip(*map(clip, range(CLIPS)), strict=True)
    ours = Ours(first_score, {"balanced": silence_alone(timeout_ms)})
    return pauses_section("pauses", "Pauses", corpus, ours, ()), pause_samples(clips, corpus, ours, "pauses")


@pytest.mark.parametrize(
    ("timeout_ms", "caught"),
    [(800, set[str]()), (1_000, {"pauses.set.latency_p50", "pauses.set.latency_p95"}), (600, {"pauses.set.cutoffs"})],
)
def test_a_policy_is_judged_on_the_pauses_of_a_corpus(timeout_ms: float, caught: set[str], tmp_path: Path) -> None:
    rows = gated(of_pauses(800), of_pauses(timeout_ms), tmp_path)
    assert missed(rows) == caught
    assert rows.keys() == {"pauses.set.cutoffs", "pauses.set.latency_p50", "pauses.set.latency_p95"}


def test_two_runs_are_compared_in_what_their_policies_can_be_tuned_to(tmp_path: Path) -> None:
    def scored(low: float) -> tuple[Section, list[Sample]]:
        """Ends score 0.9, and of the holds every fourth as much: the others ``low``."""
        clips, corpus = zip(*map(clip, range(CLIPS)), strict=True)

        def scores(pause: Pause) -> list[tuple[int, float]]:
            return [(200, 0.9 if pause.is_end or int(pause.clip[1:]) % 4 == 0 else low)]

        ours = Ours(scores, {"balanced": silence_alone(800)})
        return pauses_section("pauses", "Pauses", corpus, ours, ()), pause_samples(clips, corpus, ours, "pauses")

    for name, low in (("before", 0.9), ("after", 0.1)):
        section, samples = scored(low)
        (tmp_path / name).mkdir()
        write(Report(conditions=conditions("inproc", 0), sections=(section,)), samples, tmp_path / name)
    before, after = (read_run(tmp_path / name) for name in ("before", "after"))
    found = paired(before, after).changes()
    figures = {row.id: row.estimate for row in after.report.rows if row.estimate is not None}
    for name in ("cutoffs_at_300", "cutoffs_at_600", "latency_at_5_pct", "latency_at_10_pct_p50"):
        assert found[f"pauses.{name}"].value == pytest.approx(figures[f"pauses.{name}"].value)
    assert found["pauses.cutoffs_at_300"].base > found["pauses.cutoffs_at_300"].value
