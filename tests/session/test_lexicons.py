"""What words tell about the floor, in five languages and without any."""

from __future__ import annotations

import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session.lexicons import (
    is_backchannel,
    is_complete,
    is_digits_or_spelling,
    is_like_stop,
    is_stop,
    text_cues,
    trailing_open,
)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Mm-hmm."),
        ("en", "Yeah, yeah. Right."),
        ("en", "Oh, I see!"),
        ("en", "No problem."),
        ("de", "Ja, genau."),
        ("de", "Ach so, verstehe."),
        ("es", "Sí, claro."),
        ("fr", "Ah d’accord."),
        ("fr", "Oui, tout à fait."),
        ("pt", "Tá bom, entendi."),
        ("ja", "mhm"),
        (None, "Uh-huh."),
    ],
)
def test_listening_aloud_is_a_backchannel_and_does_not_ask_to_stop(language: str | None, text: str) -> None:
    assert is_backchannel(text, language)
    assert not is_stop(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Stop stop stop!"),
        ("en", "Um, wait."),
        ("en", "No, no."),
        ("en", "Hold on a second."),
        ("en", "Okay, stop."),
        ("de", "Moment mal bitte!"),
        ("de", "Nein."),
        ("es", "Espera, espera."),
        ("fr", "Attendez, s’il vous plaît."),
        ("pt", "Não, espera."),
        ("en", "Why?"),
        ("en", "What?"),
        ("en", "Pardon?"),
        ("de", "Wie bitte?"),
        ("de", "Warum?"),
        ("es", "¿Cómo?"),
        ("es", "¿Por qué?"),
        ("fr", "Pardon ?"),
        ("fr", "Quoi ?"),
        ("pt", "O quê?"),
        ("pt", "Como?"),
        ("pt", "Um momento."),  # “um” alone is a filler
        ("pt", "Um, um momento."),
        ("en", "1 second."),
        ("es", "1 minuto"),
    ],
)
def test_a_stop_word_is_no_backchannel_however_short_it_is(language: str, text: str) -> None:
    assert is_stop(text, language)
    assert not is_backchannel(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "No one has told me anything about that."),
        ("en", "No worries at all."),
        ("en", "Yeah, no, totally."),
        ("es", "Claro, cómo no."),
        ("pt", "Pois não."),
        ("en", ""),
        ("de", "Halten wir das fest."),
        ("ja", "stop"),
    ],
)
def test_a_longer_answer_that_begins_alike_asks_nobody_to_stop(language: str, text: str) -> None:
    assert not is_stop(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("es", "Espeda"),  # what whisper-base makes of “espera”, “cállate”, “para”, “cancelar”, “no, no”
        ("es", "¡Cájate, cájate!"),
        ("es", "Pada, pada"),
        ("pt", "Cancelare"),
        ("en", "nose nose"),
    ],
)
def test_unclear_words_with_the_letters_of_a_stop_word_are_like_one(language: str, text: str) -> None:
    assert is_like_stop(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Come here."),  # of “hmm”, “uh-huh”, “sure”, “claro”, “mhm”
        ("en", "Oh, hi!"),
        ("en", "Joe"),
        ("es", "clado"),
        ("en", "M. H. M."),
        ("en", "Yeah, yeah."),
        ("en", ""),
        ("en", "wait " * 9),
        ("ja", "stop"),
        (None, "stop"),
        ("en", "So..."),
        ("de", "Haha!"),
        ("es", "Este..."),
        ("en", "a" * 10_000),
    ],
)
def test_those_of_listening_aloud_and_of_a_sentence_are_not(language: str | None, text: str) -> None:
    assert not is_like_stop(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "I want to go to the"),
        ("en", "I'd like a pizza and."),
        ("en", "So I was thinking, um..."),
        ("en", "It costs about,"),
        ("en", "It depends on how"),
        ("en", "I wanted to ask whether"),
        ("de", "Ich hätte gerne eine Pizza mit"),
        ("de", "Das ist, äh"),
        ("es", "Quiero ir a la"),
        ("fr", "Je voudrais un billet pour"),
        ("pt", "Eu queria falar com o"),
        ("ja", "東京に…"),
    ],
)
def test_more_must_come_after_such_words(language: str, text: str) -> None:
    assert trailing_open(text, language)
    assert not is_complete(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "What are you looking for?"),
        ("en", "I want to go to Berlin."),
        ("de", "Ich nehme den Zug."),
        ("es", "¿De dónde son?"),
        ("fr", "C’est tout."),
        ("pt", "Eu moro aqui."),
        ("ja", "東京です。"),
        ("xx", "the"),
    ],
)
def test_other_endings_are_not_open(language: str, text: str) -> None:
    assert not trailing_open(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Hello."),
        ("en", "Yes, please."),
        ("en", "No thanks, bye!"),
        ("de", "Guten Tag!"),
        ("de", "Nein, danke schön."),
        ("es", "Sí, por favor."),
        ("fr", "Non merci."),
        ("pt", "Bom dia!"),
    ],
)
def test_short_answers_need_nothing_more(language: str, text: str) -> None:
    assert is_complete(text, language)
    assert not trailing_open(text, language)


def test_an_answer_that_trails_off_is_not_complete() -> None:
    assert not is_complete("Yes, no,", "en")
    assert not is_complete("Yes I would", "en")
    assert not is_complete("", "en")


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "My number is five five five"),
        ("en", "It's 0171 23"),
        ("en", "A. B. C."),
        ("en", "my code is X-4-7"),
        ("en", "It says B7224."),
        ("de", "null eins sieben"),
        ("es", "seis cuatro tres"),
        ("fr", "zéro six douze, deux quatre huit"),
        ("pt", "nove meia três"),
    ],
)
def test_a_row_of_digits_or_letters_is_being_spelled(language: str, text: str) -> None:
    assert is_digits_or_spelling(text, language)


@pytest.mark.parametrize("text", ["Two.", "At 10:30.", "In 1999.", "I have 20", "Vitamin C", "five five five, thanks"])
def test_amounts_times_and_years_are_not(text: str) -> None:
    assert not is_digits_or_spelling(text, "en")


def test_a_region_of_a_language_changes_nothing() -> None:
    assert is_complete("Yes.", "en-GB")


def test_content_words_are_what_is_neither_filler_nor_backchannel() -> None:
    cues = text_cues("Um, yeah, the red one.", "en")
    assert (cues.words, cues.content_words) == (5, 3)
    assert cues.sentence
    assert not cues.complete


@given(st.text(max_size=40), st.sampled_from(["en", "de", "es", "fr", "pt", "ja", "", None]))
def test_cues_of_any_text_do_not_contradict_each_other(text: str, language: str | None) -> None:
    cues = text_cues(text, language)
    assert cues.content_words <= cues.words
    assert not (cues.backchannel and cues.stop)
    assert not (cues.complete and cues.trailing_open)
    assert cues.words or not (cues.backchannel or cues.stop or cues.complete or cues.spelled or cues.trailing_open)


@given(st.sampled_from(["yeah right", "stop", "yes please", "and then the", "five five five"]), st.booleans())
def test_case_and_punctuation_change_nothing(text: str, upper: bool) -> None:
    written = f"“{text.upper() if upper else text.title()}”."
    plain, marked = text_cues(text, "en"), text_cues(written, "en")
    assert (plain.backchannel, plain.stop, plain.complete, plain.trailing_open, plain.spelled) == (
        marked.backchannel,
        marked.stop,
        marked.complete,
        marked.trailing_open,
        marked.spelled,
    )


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "pt"])
def test_no_filler_and_nothing_that_is_listening_aloud_is_like_a_stop_word(language: str) -> None:
    words = tomllib.loads(resources.files("session").joinpath("lexicons.toml").read_text("utf-8"))
    aloud = [*words["all"]["backchannels"], *words[language]["backchannels"]]
    fillers = [*words["all"]["fillers"], *words[language]["fillers"]]
    pairs = [f"{one}, {other}" for one in aloud for other in aloud]
    assert [text for text in (*aloud, *fillers, *pairs) if is_like_stop(text, language)] == []


def test_how_likely_a_sentence_ends_is_told_over_what_is_usual() -> None:
    found = [text_cues("so it is", "en", probability).sentence_end for probability in (0.0, 0.01, 0.2, 0.6, 1.0)]
    assert found == sorted(set(found))
    assert found[1] < -3
    assert abs(found[2]) < 0.2  # about as usual
    assert found[3] > 1
    assert -8 < found[0] < found[-1] < 11  # whatever it is told
    assert text_cues("so it is", "en").sentence_end == 0  # nobody knows
