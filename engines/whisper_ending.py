"""How likely a text is all, by the words alone, asked of Whisper's decoder.

“We ordered a large” goes on, whatever it sounds like and though Whisper ends it with a full stop. Shown silence, the
decoder is a language model, which has read what people say: the pass that places words in time gives the probability
that the next thing behind a text is the mark that ends a sentence. It costs two rows of that pass: 11 ms for two
words, 16 for 13, 46 for 60 (whisper-base in int8, one CPU core).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import ctranslate2
import numpy as np
from faster_whisper.tokenizer import Tokenizer
from numpy.typing import NDArray

_ct2: Any = ctranslate2
"""Not typed throughout."""
_FRAMES: Final = 200
"""Of silence. In 30 s of it the decoder knows no better, and takes five times as long."""
_TOKENS: Final = 64
"""The end of a text: what was said before tells little of how it goes on."""
_MARKS: Final = (".", "?")
_LANGUAGES: Final = frozenset({"de", "en", "es", "fr", "pt"})
"""Where it was tried. In scripts with marks of their own, and in some others, whisper-base hardly ever expects one."""
_CLOSING: Final = " .?!…,;:–—-\"'”’»)"


class EndingScorer:
    """Asks one model, from any thread.

    Args:
        model: A ``faster_whisper.WhisperModel``: its features, tokenizer and weights are used.
    """

    def __init__(self, model: Any) -> None:  # noqa: ANN401 (an untyped library)
        self._model = model
        self._silence: Any = None

    def probability(self, text: str, language: str) -> float | None:
        """That a full stop or a question mark is next, of all text that may be, 0 to 1; ``None`` where nobody can say.

        Args:
            text: As recognised. The marks behind it make no difference.
            language: ISO 639-1.
        """
        body = text.rstrip(_CLOSING)
        if not body or language not in _LANGUAGES:
            return None
        if self._silence is None:  # or made twice, by two threads: it is the same
            self._silence = self._encoded_silence()
        tokenizer = Tokenizer(self._model.hf_tokenizer, self._model.model.is_multilingual, "transcribe", language)
        # What looks like a marker in a text is none.
        tokens = [token for token in tokenizer.encode(f" {body}") if token < tokenizer.eot][-_TOKENS:]
        rows = [[*tokens, *tokenizer.encode(mark)] for mark in _MARKS]
        found: Sequence[Any] = self._model.model.align(
            self._silence, tokenizer.sot_sequence, rows, [_FRAMES] * len(_MARKS)
        )
        each: list[list[float]] = [one.text_token_probs[len(tokens) :] for one in found]
        return sum(map(math.prod, each))

    def _encoded_silence(self) -> Any:  # noqa: ANN401 (an untyped extension class)
        """What the encoder makes of it, a row for each mark, on the model's device."""
        hushed = np.zeros(_FRAMES * self._model.feature_extractor.hop_length, np.float32)
        features: NDArray[np.float32] = self._model.feature_extractor(hushed)[:, :_FRAMES]
        rows = np.ascontiguousarray(np.stack([features] * len(_MARKS)), np.float32)
        return self._model.model.encode(_ct2.StorageView.from_array(rows))
