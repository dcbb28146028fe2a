"""How sure Whisper was of each token, asked of the model itself.

Beam search keeps one score a hypothesis. The decoder, shown the audio and the tokens it chose, gives the probability
of each: the pass that places words in time, which costs a small part of the search.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import Segment as WhisperSegment

from schemas.transcripts import TokenLogprob

_LEAST: Final = float(np.finfo(np.float32).tiny)
"""Probabilities below round to 0, which has no logarithm."""
_PRINTABLE: Final = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS: Final = tuple(byte for byte in range(0x100) if byte not in _PRINTABLE)
_BYTES: Final = {chr(byte): byte for byte in _PRINTABLE} | {chr(0x100 + n): byte for n, byte in enumerate(_OTHERS)}
"""Byte-level vocabularies are written in characters, one a byte (GPT-2, ``bytes_to_unicode`` in its ``encoder.py``)."""


class TokenScorer:
    """Scores the segments of one recording, which must come in order.

    Args:
        model: A ``faster_whisper.WhisperModel`` whose ``model`` keeps what it ``encoded`` last: while the segments of
            a window come, that is the window.
        task: ``transcribe`` or ``translate``.
        language: ISO 639-1.
    """

    def __init__(self, model: Any, task: str, language: str) -> None:  # noqa: ANN401 (an untyped library)
        self._model = model
        self._tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task=task, language=language)
        self._seek = -1
        self._before: list[int] = []

    def score(self, segment: WhisperSegment) -> tuple[TokenLogprob, ...]:
        """The tokens of the text of a segment just decoded, without those of time."""
        if segment.seek != self._seek:
            self._seek, self._before = segment.seek, []
        tokens = [token for token in segment.tokens if token < self._tokenizer.eot]
        self._before += tokens
        model, frames = self._model.model, self._model.feature_extractor.nb_max_frames
        (found,) = model.align(model.encoded, self._tokenizer.sot_sequence, [self._before], frames)
        probabilities: list[float] = found.text_token_probs[len(self._before) - len(tokens) :]
        return tuple(
            TokenLogprob(self._data(token), math.log(max(probability, _LEAST)))
            for token, probability in zip(tokens, probabilities, strict=True)
        )

    def _data(self, token: int) -> bytes:
        return bytes(_BYTES[char] for char in self._model.hf_tokenizer.id_to_token(token))
