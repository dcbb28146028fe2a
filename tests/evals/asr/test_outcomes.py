import numpy as np
import pytest

from evals.asr.outcomes import outcome
from evals.corpora.utterance import Utterance
from evals.decoding import wav
from evals.targets.base import Heard
from schemas.transcripts import LanguageGuess

NOISE = Utterance(id="n", audio=wav(np.full(16_000, 0.1, np.float32)), text="", kind="noise")


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("en", "Thank you for watching.", 4),
        ("en", "Um, hmm. [Music]", 0),
        ("fr", "Sous-titrage de la Société", 5),
        ("ja", "ご視聴ありがとう", 8),
        ("", "Thank you", 2),
    ],
)
def test_what_is_made_up_counts_as_the_language_that_it_is_made_up_in(language: str, text: str, words: int) -> None:
    assert outcome(NOISE, Heard(text=text, language=language), None).invented_words == words


def test_the_language_may_have_been_asked_for_by_itself() -> None:
    assert outcome(NOISE, Heard(text="ご視聴"), LanguageGuess("ja", 0.9)).invented_words == 3
