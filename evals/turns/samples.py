"""What each turn came to, for the comparison of two runs: pause by pause and line by line of the script."""

from __future__ import annotations

from collections.abc import Sequence

from evals.samples import Ratio, Sample
from evals.turns.conversation_figures import LEAVES, TAKES
from evals.turns.corpus import TurnClip
from evals.turns.endpoint_figures import Ours, fire_of, tuned
from evals.turns.endpointing import decide, sweep
from evals.turns.outcomes import Outcomes, OverlapOutcome, TurnOutcome, outcomes
from evals.turns.pauses import ClipPauses
from evals.turns.performance import Performance


def pause_samples(clips: Sequence[TurnClip], corpus: Sequence[ClipPauses], ours: Ours, prefix: str) -> list[Sample]:
    """One a clip: what the default policy does with its pauses, and what the tuned ones do.

    Args:
        clips: Turns.
        corpus: Their pauses.
        ours: The policy under test.
        prefix: Of the rows' ids.
    """
    fire = next(iter(ours.profiles.values()))
    fires = {
        name: fire_of(setting, ours.scores)
        for name, setting in tuned(sweep(corpus, ours.scores)).items()
        if setting is not None
    }
    found: list[Sample] = []
    for clip, pauses in zip(clips, corpus, strict=True):
        decisions = decide([pauses], fire)
        ratios = {"set.cutoffs": Ratio(float(decisions.cut.sum()), len(decisions.cut))}
        values = {"set.latency": decisions.latency_ms}
        for name, each in fires.items():
            chosen = decide([pauses], each)
            if name.startswith("cutoffs"):
                ratios[name] = Ratio(float(chosen.cut.sum()), len(chosen.cut))
            elif name.endswith("_pct"):  # of a mean
                ratios[name] = Ratio(float(chosen.latency_ms.sum()), len(chosen.latency_ms))
            else:
                values[name.removesuffix("_p50")] = chosen.latency_ms
        found.append(
            Sample(
                area=prefix,
                id=clip.name,
                block=clip.block,
                group={"language": clip.language, "channel": clip.channel},
                ratios={f"{prefix}.{name}": ratio for name, ratio in ratios.items()},
                values={f"{prefix}.{name}": float(ms) for name, times_ms in values.items() for ms in times_ms},
            )
        )
    return found


def conversation_samples(performances: Sequence[Performance], prefix: str) -> list[Sample]:
    """One a conversation, and one for each line of the user's and each item of the agent's in it.

    Args:
        performances: Conversations that were held.
        prefix: Of the rows' ids.
    """
    return [sample for one in performances for sample in _samples(one, prefix)]


def _samples(one: Performance, prefix: str) -> list[Sample]:
    found = outcomes([one])

    def sample(part: str, ratios: dict[str, Ratio], values: dict[str, float | None]) -> Sample:
        return Sample(
            area=prefix,
            id=f"{one.name}{part}",
            block=one.name,
            group={"language": one.language, "channel": one.channel},
            ratios={f"{prefix}.{name}": ratio for name, ratio in ratios.items()},
            values={f"{prefix}.{name}": value for name, value in values.items() if value is not None},
        )

    whole = {
        "speculation_hits": Ratio(sum(eager.hit for eager in found.speculations), len(found.speculations)),
        "false_starts": Ratio(found.false_starts, found.minutes / 10),
    }
    return [
        sample("", whole, {}),
        *(sample(f".{turn.place}", _turn_ratios(turn, found), {"latency": turn.latency_ms}) for turn in found.turns),
        *(sample(f".{over.place}", _overlap_ratios(over), _overlap_values(over)) for over in found.overlaps),
        *(
            sample(
                f".item{number}",
                {},
                {
                    "replayed": item.replayed_ms if item.was_paused else None,
                    "heard_error": None if item.heard_words_error is None else abs(item.heard_words_error),
                },
            )
            for number, item in enumerate(found.items)
        ),
    ]


def _turn_ratios(turn: TurnOutcome, found: Outcomes) -> dict[str, Ratio]:
    cut = [hold.cut for hold in found.holds if hold.place == turn.place]
    return {
        "cutoffs": Ratio(sum(cut), len(cut)),
        "talked_into": Ratio(float(turn.talked_into), 1),
        "missed": Ratio(float(turn.is_missed), 1),
    }


def _overlap_ratios(over: OverlapOutcome) -> dict[str, Ratio]:
    right = Ratio(float(over.is_right), 1)
    ratios = {f"right.{over.intent.value}": right} if over.intent in (*TAKES, *LEAVES) else {}
    return {"yield_rate": right, **ratios} if over.intent in TAKES else ratios


def _overlap_values(over: OverlapOutcome) -> dict[str, float | None]:
    takes = over.intent in TAKES
    return {
        "silent": over.silent_ms if takes else None,
        "ducked": over.ducked_ms if takes else None,
        "resumed": over.resumed_ms if over.intent in LEAVES else None,
    }
