from pathlib import Path

from evals.asr.entities import Found, digits, names
from evals.corpora.utterance import Utterance


def said(text: str, language: str = "en", entities: tuple[str, ...] = ()) -> Utterance:
    return Utterance(id="a", audio=Path("a.wav"), text=text, language=language, entities=entities)


def test_numbers_are_compared_as_digits() -> None:
    assert digits("call two hundred and five at 9 pm", "call 205 at 8 pm", "en") == Found(1, 2)
    assert digits("nothing to count", "nothing", "en") == Found(0, 0)


def test_names_are_what_has_a_capital_within_a_sentence() -> None:
    text = said("How old is the Brooklyn Bridge? I think Washington's bridge is older.")
    assert names(text, "how old is the brooklyn bridge i think washington's bridge") == Found(3, 3)
    assert names(text, "how old is the book bridge") == Found(1, 3)


def test_names_that_the_corpus_gives_are_taken_whole() -> None:
    text = said("ask for kowloon east", entities=("Kowloon East",))
    assert names(text, "ask for Kowloon East.") == Found(1, 1)
    assert names(text, "ask for Kowloon") == Found(0, 1)


def test_german_nouns_and_texts_without_case_have_no_names() -> None:
    assert names(said("Er sah die Insel.", "de"), "er sah die insel").of == 0
    assert names(said("HE SAW LONDON"), "").of == 0
