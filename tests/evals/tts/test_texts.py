from collections.abc import Sequence

import pytest

from engines.speech_pipeline import Say, Script
from evals.targets.base import Heard
from evals.tts.figures import is_read_well
from evals.tts.measure import Reading, Rendition, Task
from evals.tts.texts import KINDS, LANGUAGES, Sentence, sentences
from schemas.speech import SpeechOptions

LOCALES = {"de": "de-DE", "en": "en-US", "es": "es-ES", "fr": "fr-FR", "pt": "pt-BR"}
SENTENCES = [(language, one) for language in LANGUAGES for one in sentences(language)]


def reading(language: str, sentence: Sentence, heard: str) -> Reading:
    task = Task(
        id="x",
        text=sentence.text,
        language=language,
        voice="v",
        kind=sentence.kind,
        shows=sentence.heard,
        recording=None,
    )
    spoken = Rendition(pcm16=b"", audio_s=1.0, first_s=0.1, took_s=0.2, gaps_s=(), clipped=0)
    return Reading(task=task, spoken=spoken, heard=Heard(text=heard), floor=None)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_sentences_of_each_kind_and_any_beginning_has_them_too(language: str) -> None:
    found = sentences(language)
    assert len(found) >= 20
    assert {one.kind for one in found[: len(KINDS)]} == set(KINDS)
    assert len({one.text for one in found}) == len(found)


def test_a_language_without_sentences_has_none() -> None:
    assert sentences("tlh") == ()


@pytest.mark.parametrize(("language", "sentence"), SENTENCES, ids=[f"{at} {one.text}" for at, one in SENTENCES])
def test_each_form_that_is_accepted_is(language: str, sentence: Sentence) -> None:
    for form in sentence.heard:
        assert is_read_well(reading(language, sentence, f"{form.capitalize()}."))


@pytest.mark.parametrize(("language", "sentence"), SENTENCES, ids=[f"{at} {one.text}" for at, one in SENTENCES])
def test_what_the_text_is_normalised_to_counts_as_read_well(language: str, sentence: Sentence) -> None:
    parts = Script(sentence.text, LOCALES[language], SpeechOptions()).parts()
    spoken = "".join(part.text.text for part in parts if isinstance(part, Say))
    assert is_read_well(reading(language, sentence, spoken)), spoken


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_is_not_read_well_if_another_was(language: str) -> None:
    found: Sequence[Sentence] = sentences(language)
    for one in found:
        assert not any(is_read_well(reading(language, one, other.text)) for other in found if other != one)
