"""Which words of a growing transcript are committed."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from session.hypothesis import MAX_WINDOW_S, WINDOW_S, HypothesisWord, LocalAgreement

WORD_S = 0.5


def heard(text: str, start_s: float = 0.0) -> list[HypothesisWord]:
    """Words of half a second each."""
    return [
        HypothesisWord(f" {word}", start_s + number * WORD_S, start_s + (number + 1) * WORD_S)
        for number, word in enumerate(text.split())
    ]


def agreement_on(*texts: str) -> LocalAgreement:
    agreement = LocalAgreement(0.0)
    for text in texts:
        agreement.insert(heard(text), len(text.split()) * WORD_S)
    return agreement


def test_nothing_is_committed_by_one_hypothesis_alone() -> None:
    agreement = agreement_on("ask not")
    assert (agreement.stable_text, agreement.text) == ("", "ask not")


def test_what_two_hypotheses_begin_with_alike_is_committed_and_the_rest_is_not() -> None:
    agreement = agreement_on("ask not what", "ask not watt your")
    assert (agreement.stable_text, agreement.text) == ("ask not", "ask not watt your")


def test_words_that_differ_in_case_and_punctuation_alone_agree_and_are_written_as_last_heard() -> None:
    agreement = agreement_on("Ask not.", "ask not, what")
    assert agreement.stable_text == "ask not,"


def test_a_committed_word_that_a_later_hypothesis_hears_otherwise_stays() -> None:
    agreement = agreement_on("ask not", "ask not what", "axe knot what your")
    assert agreement.text == "ask not what your"
    assert agreement.stable_text == "ask not what"


def test_a_word_said_again_and_again_is_neither_lost_nor_doubled() -> None:
    agreement = agreement_on("no", "no no", "no no no", "no no no no")
    assert (agreement.stable_text, agreement.text) == ("no no no", "no no no no")


def test_a_committed_word_is_found_by_its_text_where_its_times_drift() -> None:
    agreement = agreement_on("one two three", "one two three four")
    drifted = [HypothesisWord(word.text, word.start_s + 0.4, word.end_s + 0.4) for word in heard("one two three four")]
    agreement.insert(drifted, 2.4)
    assert agreement.text == "one two three four"


def test_audio_before_the_last_committed_word_is_left_out_once_the_window_is_full_and_its_text_primes() -> None:
    count = int(WINDOW_S / WORD_S) + 1
    text = " ".join(f"word{number}" for number in range(count))
    agreement = agreement_on(text)
    assert agreement.start_s == 0.0
    agreement.insert(heard(text), count * WORD_S)
    assert agreement.start_s == (count - 1) * WORD_S
    assert agreement.prompt.endswith(f"word{count - 2}")
    agreement.insert(heard(f"word{count - 1} and more", agreement.start_s), (count + 2) * WORD_S)
    assert agreement.text == f"{text} and more"


def test_the_prompt_is_bounded_and_begins_with_a_whole_word() -> None:
    text = " ".join(f"word{number:03}" for number in range(60))
    agreement = agreement_on(text, text)
    assert len(agreement.prompt) < 200
    assert agreement.prompt.startswith("word")


def test_what_nobody_agrees_on_is_committed_when_the_window_can_grow_no_more() -> None:
    agreement = LocalAgreement(0.0)
    count = int(MAX_WINDOW_S / WORD_S) + 4
    for number in range(1, count + 1):
        agreement.insert(heard(" ".join(f"word{number}" for _ in range(number))), number * WORD_S)
        assert number * WORD_S - agreement.start_s <= MAX_WINDOW_S
    assert agreement.committed


def test_noise_without_words_does_not_make_the_window_grow_without_bound() -> None:
    agreement = LocalAgreement(0.0)
    agreement.insert([], 100.0)
    assert agreement.start_s == 100.0 - MAX_WINDOW_S


def test_revisions_are_the_words_of_the_tail_that_were_taken_back() -> None:
    agreement = agreement_on("ask", "ask knot", "ask not what", "ask not what your")
    assert (agreement.emitted_words, agreement.revised_words) == (1 + 1 + 2 + 1, 1)


def test_words_of_a_language_without_spaces_are_written_without() -> None:
    agreement = LocalAgreement(0.0)
    words = [HypothesisWord("你", 0.0, 0.3), HypothesisWord("好", 0.3, 0.6)]
    agreement.insert(words, 0.6)
    agreement.insert(words, 0.8)
    assert agreement.stable_text == "你好"


HYPOTHESES = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["no", "No,", "not", "what", "...", "your"]), st.floats(0.0, 1.0), st.floats(0.01, 2.0)
        ),
        max_size=12,
    ),
    max_size=12,
)


def _placed(words: Sequence[tuple[str, float, float]], start_s: float) -> list[HypothesisWord]:
    placed: list[HypothesisWord] = []
    for text, pause_s, length_s in words:
        placed.append(HypothesisWord(f" {text}", start_s + pause_s, start_s + pause_s + length_s))
        start_s = placed[-1].end_s
    return placed


@given(HYPOTHESES)
def test_whatever_is_heard_committed_words_are_a_prefix_of_those_committed_later(
    hypotheses: list[list[tuple[str, float, float]]],
) -> None:
    agreement = LocalAgreement(0.0)
    end_s = 0.0
    for hypothesis in hypotheses:
        before, stable_text, start_s = agreement.committed, agreement.stable_text, agreement.start_s
        words = _placed(hypothesis, start_s)
        end_s = max(end_s + 0.5, words[-1].end_s if words else 0.0)
        agreement.insert(words, end_s)
        assert agreement.committed[: len(before)] == before
        assert agreement.stable_text.startswith(stable_text)
        assert agreement.text.startswith(agreement.stable_text)
        assert start_s <= agreement.start_s
        assert end_s - agreement.start_s <= MAX_WINDOW_S
        assert agreement.revised_words <= agreement.emitted_words


@given(st.lists(st.sampled_from(["no", "not", "what", "your", "country"]), max_size=60), st.integers(1, 5))
def test_a_recogniser_that_is_always_right_has_every_word_committed_once_and_revises_none(
    words: list[str], step: int
) -> None:
    agreement = LocalAgreement(0.0)
    spoken = heard(" ".join(words))
    for count in [*range(step, len(words), step), len(words), len(words)]:
        agreement.insert([word for word in spoken[:count] if word.start_s >= agreement.start_s], count * WORD_S)
    assert [word.text.strip() for word in agreement.committed] == words
    assert agreement.revised_words == 0


def test_stability_is_the_share_of_words_that_stay() -> None:
    assert LocalAgreement(0.0).stability == 0.0
    assert agreement_on("one two three").stability == 0.0
    assert agreement_on("one two three four", "one two three five").stability == 0.75


def test_another_text_keeps_the_words_that_it_has_too_however_they_are_written() -> None:
    assert LocalAgreement(0.0).kept_by(["what"]) == 1.0
    assert agreement_on("one two two four").kept_by(["One,", "two", "five."]) == 0.5
