"""What recognition of each recording came to."""

from __future__ import annotations

from msgspec import Struct

from evals.asr.entities import Found, digits, names
from evals.asr.loudness import snr_class, snr_db
from evals.asr.words import Scored, normalised, score
from evals.corpora.utterance import UNDETERMINED, Utterance
from evals.runner import Failure
from evals.samples import Ratio, Sample
from evals.targets.base import Heard
from schemas.audio import SESSION_RATE_HZ
from schemas.transcripts import LanguageGuess

NO_SPEECH = frozenset({"noise", "silence", "music"})
"""Kinds of recordings in which nobody speaks."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One recording."""

    utterance: Utterance
    heard: Heard
    scored: Scored
    duration_s: float
    snr: str
    """As in ``20 to 30 dB``."""
    numbers: Found
    names: Found
    detected: str | None = None
    """The language that it was taken for; ``None`` if nobody asked, or it cannot tell."""
    detection_failed: bool = False
    """Whether an error was all that came when it was asked for the language: that is a wrong answer, not none."""

    @property
    def is_speech(self) -> bool:
        """Whether something is said in it."""
        return bool(self.utterance.text)

    @property
    def invented_words(self) -> int:
        """Where nobody speaks: every word, or character of a language without spaces, as it was taken for."""
        language = self.heard.language or self.detected or UNDETERMINED
        return 0 if self.is_speech else len(normalised(self.heard.text, language).split())

    @property
    def knows_language(self) -> bool:
        """Whether the language that it is in was asked for and is known."""
        was_asked = self.detected is not None or self.detection_failed
        return self.is_speech and was_asked and self.utterance.language != UNDETERMINED


def outcome(utterance: Utterance, heard: Heard, guess: LanguageGuess | Failure | None) -> Outcome:
    """Hold what was heard against what was said.

    Args:
        utterance: With its text, which may be empty.
        heard: What recognition made of it.
        guess: The language that it was taken for.

    Raises:
        SpeechError: ``not_found``, ``invalid_audio``: the recording cannot be decoded here.
    """
    text = utterance.text or ""
    samples = utterance.samples()
    snr = utterance.snr_db if utterance.snr_db is not None else snr_db(samples)
    return Outcome(
        utterance=utterance,
        heard=heard,
        scored=score(text, heard.text, utterance.language),
        duration_s=len(samples) / SESSION_RATE_HZ,
        snr=snr_class(snr),
        numbers=digits(text, heard.text, utterance.language),
        names=names(utterance, heard.text),
        detected=guess.language if isinstance(guess, LanguageGuess) else None,
        detection_failed=isinstance(guess, Failure),
    )


def sample_of(found: Outcome) -> Sample:
    """For the comparison of two runs."""
    utterance, scored = found.utterance, found.scored
    ratios: dict[str, Ratio] = {}
    if found.is_speech:
        ratios["asr.wer"] = Ratio(scored.errors, scored.units)
        ratios["asr.cer"] = Ratio(scored.wrong_characters, scored.characters)
        ratios["asr.digits"] = Ratio(found.numbers.right, found.numbers.of)
        ratios["asr.names"] = Ratio(found.names.right, found.names.of)
        ratios["asr.rtfx"] = Ratio(found.duration_s, found.heard.took_s)
    else:
        ratios["asr.invented"] = Ratio(found.invented_words, found.duration_s / 60)
    if found.knows_language:
        ratios["asr.language"] = Ratio(float(found.detected == utterance.language), 1.0)
    return Sample(
        area="asr",
        id=utterance.id,
        block=utterance.block,
        group={"language": utterance.language, "kind": utterance.kind, "SNR": found.snr},
        ratios=ratios,
        values={"asr.latency": 1000 * found.heard.took_s},
        recording=utterance.fingerprint(),
        reference=utterance.text or "",
        hypothesis=found.heard.text,
        audio=str(utterance.audio.resolve()) if not isinstance(utterance.audio, bytes) else "",
        channel=utterance.channel,
    )
