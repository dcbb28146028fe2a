"""What a few words tell about the floor: that somebody wants it, leaves it to the other, has said all, or has not.

The words are data, ``lexicons.toml``, for English, German, Spanish, French and Portuguese. In other languages only
what goes for all counts (“mhm”, digits, punctuation). Case and punctuation are ignored, save where a text ends.
"""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher
from importlib import resources
from typing import Final

from msgspec import Struct, convert

MAX_STOP_WORDS: Final = 4
"""A longer text that begins with “no” or “wait” is an answer, and is judged like one."""
LIKE: Final = 0.65
"""From this share of common letters on, unclear words may be a stop-word. Of 410 stop-words in three languages by ten
voices 317 stop the agent by what is clear, 385 with this; of 634 backchannels 19, and 24."""
LIKE_LETTERS: Final = 4
"""Stop-words of fewer are like too much else, and so is what was heard with fewer: “so”, “now”."""
MIN_DIGITS: Final = 3
"""So many digits or letters in a row are being spelled out; fewer are an amount, or an answer."""
_USUAL_LOGIT: Final = -1.3
"""Of whisper-base's probability of a sentence's end, at pauses of the simulator: between what is usual in holds and at
ends."""
_LEAST_LIKELY: Final = 1e-4
"""Nobody is surer than that."""

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)*['’]?")
_TIME: Final = re.compile(r"\b\d{1,2}[:.h]\d{2}\b")
_YEAR: Final = re.compile(r"(?:1[0-9]|20)\d\d")
_CODE: Final = re.compile(r"[a-z]{1,3}\d{2,}[a-z\d]*")
_TRAILS_OFF: Final = re.compile(r"(?:\.\.\.|[…,;:–—-])[\s\"'”»]*$")
_ASKS: Final = re.compile(r"[?!？！][\s\"'”»]*$")
_QUESTION: Final = re.compile(r"[?？][\s\"'”»]*$")
_ENDS: Final = re.compile(r"[.。?!？！][\s\"'”»]*$")


class _Words(Struct, frozen=True, forbid_unknown_fields=True):
    stops: tuple[str, ...] = ()
    backchannels: tuple[str, ...] = ()
    complete: tuple[str, ...] = ()
    fillers: tuple[str, ...] = ()
    open_words: tuple[str, ...] = ()
    digits: tuple[str, ...] = ()


_Phrases = frozenset[tuple[str, ...]]


class _Lexicon(Struct, frozen=True):
    stops: _Phrases
    backchannels: _Phrases
    complete: _Phrases
    fillers: _Phrases
    open_words: _Phrases
    digits: frozenset[str]
    stop_letters: tuple[str, ...]
    """Phrases said once, and twice, as :func:`_letters`; without the shortest, which anything is like."""
    backchannel_letters: tuple[str, ...]
    """All of them, likewise."""


class TextCues(Struct, frozen=True, forbid_unknown_fields=True):
    """What a text tells about the floor."""

    words: int = 0
    content_words: int = 0
    """Words that are part neither of a backchannel nor of a filler."""
    complete: bool = False
    """All of it is a greeting, a yes or no, or another short answer that needs nothing more."""
    sentence: bool = False
    """It ends as a sentence does."""
    question: bool = False
    """It ends as a question does."""
    trailing_open: bool = False
    """It ends in a filler, a conjunction or another word after which more must come."""
    spelled: bool = False
    """It ends in a row of digits or letters: a number, a code, a name that is spelled."""
    backchannel: bool = False
    """All of it is listening aloud: “mhm”, “right, I see”."""
    stop: bool = False
    """It asks the other to stop: “wait”, “no no”, “hold on a second”."""
    sentence_end: float = 0.0
    """How much likelier than usual a sentence ends behind it, natural logarithm of odds; 0 where nobody knows."""


def text_cues(text: str, language: str | None, sentence_end: float | None = None) -> TextCues:
    """The cues of a text in a language (ISO 639-1).

    Args:
        text: As recognised.
        language: ISO 639-1, with a region or without.
        sentence_end: Probability that a sentence ends behind it, from who recognised it.
    """
    words = _words(text)
    lexicon = _lexicon(language)
    return TextCues(
        words=len(words),
        content_words=_uncovered(words, lexicon.backchannels | lexicon.fillers),
        complete=is_complete(text, language),
        sentence=bool(_ENDS.search(text)) and not text.rstrip().endswith("..."),
        question=bool(_QUESTION.search(text)),
        trailing_open=trailing_open(text, language),
        spelled=is_digits_or_spelling(text, language),
        backchannel=is_backchannel(text, language),
        stop=is_stop(text, language),
        sentence_end=0.0 if sentence_end is None else _over_usual(sentence_end),
    )


def _over_usual(probability: float) -> float:
    likely = min(max(probability, _LEAST_LIKELY), 1 - _LEAST_LIKELY)
    return round(math.log(likely / (1 - likely)) - _USUAL_LOGIT, 2)


def is_backchannel(text: str, language: str | None) -> bool:
    """Whether all of a text is listening aloud: “mhm”, “yeah, right”."""
    words = _words(text)
    return bool(words) and not _uncovered(words, _lexicon(language).backchannels)


def is_stop(text: str, language: str | None) -> bool:
    """Whether a text asks the other to stop: it is short and begins with a stop-word, after fillers perhaps."""
    words = _words(text)
    lexicon = _lexicon(language)
    before = lexicon.fillers | _ALL.backchannels
    while words:
        length, filler = _prefix(words, lexicon.stops), _prefix(words, before)
        if length > filler:  # “um momento”, not “um”; but “no problem”, not “no”
            return length > _prefix(words, lexicon.backchannels) and len(words) <= max(MAX_STOP_WORDS, length)
        if not filler:
            return False
        words = words[filler:]
    return False


def is_like_stop(text: str, language: str | None) -> bool:
    """Whether words that nobody is sure of have more letters of a stop-word than of listening aloud.

    A recogniser that has one word to go by writes another that sounds like it: “espeda” for “espera”.
    """
    words = _words(text)
    lexicon = _lexicon(language)
    if len(words) > 2 * MAX_STOP_WORDS or not _uncovered(words, lexicon.backchannels | lexicon.fillers):
        return False
    heard = _letters(words)
    if len(heard) < LIKE_LETTERS:
        return False
    stop = _likeness(heard, lexicon.stop_letters, LIKE)
    return stop > 0 and not _likeness(heard, lexicon.backchannel_letters, stop)


def is_complete(text: str, language: str | None) -> bool:
    """Whether a text is made of short answers and greetings alone, and needs nothing more."""
    words = _words(text)
    return bool(words) and not _uncovered(words, _lexicon(language).complete) and not _TRAILS_OFF.search(text)


def trailing_open(text: str, language: str | None) -> bool:
    """Whether more must come: the text ends in a filler, a conjunction or the like, or trails off.

    A question may end in such a word: “What is it for?”
    """
    words = _words(text)
    if not words or _ASKS.search(text):
        return False
    if _TRAILS_OFF.search(text):
        return True
    lexicon = _lexicon(language)
    return not is_complete(text, language) and bool(_suffix(words, lexicon.fillers | lexicon.open_words))


def is_digits_or_spelling(text: str, language: str | None) -> bool:
    """Whether a text ends in a row of digits or letters, which are said in groups with pauses between.

    A time or a year alone is none.
    """
    digits = _lexicon(language).digits
    spelled, tokens, last = 0, 0, ""
    for word in reversed(_words(_TIME.sub(" : ", text))):
        is_written_together = word.isdecimal() or _CODE.fullmatch(word) is not None
        if not (is_written_together or word in digits or (len(word) == 1 and word.isalpha())):
            break
        spelled += len(word) if is_written_together else 1
        tokens, last = tokens + 1, word
    return spelled >= MIN_DIGITS and not (tokens == 1 and _YEAR.fullmatch(last))


def _words(text: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(unicodedata.normalize("NFC", text).casefold().replace("’", "'")))


def _uncovered(words: tuple[str, ...], phrases: _Phrases) -> int:
    """How many words are part of no phrase, reading from the left, the longest phrase first."""
    uncovered = 0
    while words:
        length = _prefix(words, phrases)
        uncovered += not length
        words = words[length or 1 :]
    return uncovered


def _prefix(words: tuple[str, ...], phrases: _Phrases) -> int:
    """Length of the longest phrase a text begins with, in words; 0 if there is none."""
    return next((length for length in range(min(len(words), _LONGEST), 0, -1) if words[:length] in phrases), 0)


def _suffix(words: tuple[str, ...], phrases: _Phrases) -> int:
    return next((length for length in range(min(len(words), _LONGEST), 0, -1) if words[-length:] in phrases), 0)


def _letters(words: Iterable[str]) -> str:
    """Without accents and spaces, which is where a misheard word differs first."""
    decomposed = unicodedata.normalize("NFD", "".join(words))
    return "".join(letter for letter in decomposed if letter.isalnum())


def _likeness(heard: str, phrases: Iterable[str], least: float) -> float:
    """The largest share of letters that a phrase has in common with what was heard, in their order; 0 if below."""
    matcher = SequenceMatcher(b=heard, autojunk=False)
    most = 0.0
    for phrase in phrases:
        matcher.set_seq1(phrase)
        # The first two are no less than the third and reckoned sooner; of what is much longer, only the first is.
        bounds = (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
        if all(bound() >= least for bound in bounds):
            most = least = matcher.ratio()
    return most


def _lexicon(language: str | None) -> _Lexicon:
    return _LEXICONS.get((language or "").partition("-")[0].casefold(), _ALL)


def _phrases(*texts: str) -> _Phrases:
    return frozenset(_words(text) for text in texts)


def _said(phrases: _Phrases, least_letters: int = 1) -> tuple[str, ...]:
    letters = {_letters(phrase) for phrase in phrases}
    return tuple(sorted({one * times for one in letters if len(one) >= least_letters for times in (1, 2)}))


def _compiled(words: _Words, everywhere: _Words) -> _Lexicon:
    stops = _phrases(*words.stops, *everywhere.stops)
    backchannels = _phrases(*words.backchannels, *everywhere.backchannels)
    return _Lexicon(
        stops=stops,
        backchannels=backchannels,
        stop_letters=_said(stops, LIKE_LETTERS),
        backchannel_letters=_said(backchannels),
        complete=_phrases(*words.complete, *everywhere.complete),
        fillers=_phrases(*words.fillers, *everywhere.fillers),
        open_words=_phrases(*words.open_words, *everywhere.open_words),
        digits=frozenset(words.digits),
    )


_TABLES: Final = convert(
    tomllib.loads(resources.files("session").joinpath("lexicons.toml").read_text("utf-8")), dict[str, _Words]
)
_ALL: Final = _compiled(_TABLES["all"], _TABLES["all"])
_LEXICONS: Final = {code: _compiled(words, _TABLES["all"]) for code, words in _TABLES.items() if code != "all"}
_LONGEST: Final = max(
    len(phrase)
    for lexicon in _LEXICONS.values()
    for phrases in (lexicon.stops, lexicon.backchannels, lexicon.complete, lexicon.fillers, lexicon.open_words)
    for phrase in phrases
)
