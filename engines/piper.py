"""Piper voices (VITS by ONNX Runtime, phonemes by espeak-ng).

``piper-tts`` and espeak-ng are GPL-3.0, so they are an extra and are imported only when a voice is loaded. From
piper-tts come the configuration of a voice and its phonemes; the graph is run here, in parts
(:mod:`engines.vits_graph`), so that a sentence is heard while the rest of it is made, and because its durations are
wanted as well: word times are exact to a frame (about 12 ms), but where a word ends and the next begins is decided by
:mod:`engines.word_alignment`.

Piper makes the loudest sample of each sentence 1. Nobody knows that sample when the first of them are sent, so here a
voice has one gain, which makes it as loud as every other (:mod:`engines.loudness`), as measured on nine digits.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray

from engines.base import Lanes, Pronunciation, TtsJob
from engines.espeak import decomposed, import_piper, marked
from engines.loudness import gain_to_target
from engines.phoneme_cache import PhonemeCache
from engines.vits_decoder import Frames, VitsDecoder, VitsStage
from engines.vits_graph import SPEAKER
from engines.vits_network import VitsNetwork, open_graph
from engines.word_alignment import WordAligner, is_sound
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, SpokenWord, Voice

if TYPE_CHECKING:
    from piper import PiperVoice

log = structlog.get_logger("antiphon.engines")

_MAX_PHONEMES: Final = 500
"""About 40 s. Longer sentences are cut between words: a VITS encoder's memory grows with the square of its input."""
_CONFIG_SUFFIX: Final = ".onnx.json"
_START, _END, _PAD = "^", "$", "_"
"""Names of the symbols around a sentence and after each phoneme."""
_EXAMPLE: Final = "1 2 3 4 5 6 7 8 9"
"""What a voice's gain is measured on: digits are read out in every language."""


class PiperTts:
    """Speech synthesis with one Piper voice, in chunks of a fifth of a second at first and about two later.

    Args:
        model_dir: Folder with one ``<voice>.onnx`` and its ``<voice>.onnx.json``.
        threads: Threads one synthesis computes with.
        workers: Syntheses at once. espeak-ng is not thread-safe, but piper-tts holds a lock around it.
        network: What computes instead of the ``.onnx`` file, which the folder need not have then.

    Raises:
        SpeechError: ``missing_extra`` without piper-tts, or ``model_corrupt``.
    """

    def __init__(
        self,
        model_dir: Path,
        *,
        threads: int = 1,
        workers: int = 2,
        network: VitsNetwork | None = None,
    ) -> None:
        self.lanes = Lanes(workers)
        piper = import_piper()
        self.voices = (read_voice(model_dir),)
        path = _config_path(model_dir)
        config = msgspec.json.decode(path.read_bytes())
        try:
            parts = network or open_graph(path.with_suffix("").read_bytes(), threads=threads)
            self._front = parts.front
            self._front_outputs = (parts.latents, parts.durations)
            # It is asked for phonemes only, and has no network to ask for more.
            self._piper: PiperVoice = piper.PiperVoice(None, piper.PiperConfig.from_dict(config))
            self._phonemise = PhonemeCache(self._piper.phonemize)
            self._decoder: VitsDecoder | None = None
            example, _ = self._latents(self._example(), speed=1.0, noise=0.0)
            if parts.decoder is None:
                log.warning("voice_not_streamed", voice=self.voices[0].id, reason="no HiFi-GAN in its graph")
            else:
                flow = None
                if parts.flow is not None:
                    flow = VitsStage(
                        parts.flow,
                        taken=parts.latents,
                        made=parts.frames,
                        mask=parts.mask,
                        speaker=self._speaker() if parts.flow_takes_speaker else {},
                        example=example,
                    )
                decoder = VitsStage(
                    parts.decoder,
                    taken=parts.frames,
                    made=parts.audio,
                    speaker=self._speaker() if parts.decoder_takes_speaker else {},
                    example=example if flow is None else flow.run(example),
                )
                self._decoder = VitsDecoder(decoder, flow)
        except (OSError, ValueError):
            raise _corrupt(model_dir) from None
        spoken = np.concatenate(list(self._audio(example)))
        self.gain: Final = gain_to_target(spoken, self.voices[0].sample_rate_hz)
        """What the samples the model makes are multiplied with."""

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        """Chunks within sentences; none if the text holds nothing to say. See :class:`engines.base.Tts`.

        Every stretch of text between white space is a word. One that is not heard, such as a dash, has no length.

        Raises:
            SpeechError: ``invalid_request`` for a pronunciation with symbols the voice does not know.
        """
        self._check(job.pronunciations)
        sentences = self._sentences(marked(job.text, job.pronunciations, 0, len(job.text)))
        aligner = WordAligner(job.text, partial(self._phonemise_word, job))
        rate_hz = self.voices[0].sample_rate_hz
        spoken_samples = 0
        for number, phonemes in enumerate(sentences, start=1):
            job.cancellation.check()
            latents, edges = self._latents(phonemes, speed=job.speed)
            seconds = (spoken_samples + edges) / rate_hz
            words = deque(
                SpokenWord(
                    text=word.text,
                    text_start=word.text_start,
                    text_end=word.text_end,
                    start_s=float(seconds[word.first]),
                    end_s=float(seconds[word.end]),
                )
                for word in aligner.place(phonemes, is_last=number == len(sentences))
            )
            job.cancellation.check()
            for samples in self._audio(latents):
                spoken_samples += len(samples)
                begun: list[SpokenWord] = []
                while words and words[0].start_s < spoken_samples / rate_hz:
                    begun.append(words.popleft())
                yield SpeechChunk(np.clip(samples * self.gain, -1.0, 1.0), rate_hz, tuple(begun))
                job.cancellation.check()

    def close(self) -> None:
        """Free the model's memory."""
        del self._front, self._decoder, self._piper

    def _sentences(self, text: str) -> list[Sequence[str]]:
        """Phonemes of each sentence."""
        if not _is_speakable(text):
            return []
        known = self._piper.config.phoneme_id_map
        sentences = ([phoneme for phoneme in each if phoneme in known] for each in self._phonemise(text))
        return [piece for each in sentences for piece in _pieces(each) if any(map(is_sound, piece))]

    def _phonemise_word(self, job: TtsJob, start: int, end: int) -> list[str]:
        word = marked(job.text, job.pronunciations, start, end)
        return [phoneme for sentence in self._phonemise(word) for phoneme in sentence]

    def _check(self, pronunciations: Sequence[Pronunciation]) -> None:
        known = self._piper.config.phoneme_id_map
        for one in pronunciations:
            if unknown := [symbol for symbol in decomposed(one.ipa) if symbol not in known]:
                raise SpeechError(
                    ErrorCode.INVALID_REQUEST,
                    f"The voice {self.voices[0].id} does not know the symbol {unknown[0]!r} in the pronunciation "
                    f"{one.ipa[:64]!r}. It knows: {' '.join(sorted(symbol for symbol in known if is_sound(symbol)))}",
                    param="ipa",
                )

    def _example(self) -> Sequence[str]:
        """Phonemes to measure with: every sound there is, should the voice know no digits."""
        known = self._piper.config.phoneme_id_map
        return next(iter(self._sentences(_EXAMPLE)), [phoneme for phoneme in known if is_sound(phoneme)])

    def _latents(
        self, phonemes: Sequence[str], *, speed: float, noise: float = 1.0
    ) -> tuple[Frames, NDArray[np.int64]]:
        """A sentence up to the flow, and where in its audio each phoneme begins.

        The latter is ``int64, (p + 1,)``, samples; the last ends the last phoneme.
        """
        config = self._piper.config
        symbols = config.phoneme_id_map
        pad = symbols[_PAD]
        ids = [*symbols[_START], *pad]
        places: list[int] = []
        for phoneme in phonemes:
            places.append(len(ids))
            ids += [*symbols[phoneme], *pad]
        places.append(len(ids))
        ids += symbols[_END]
        scales = (noise * config.noise_scale, config.length_scale / speed, noise * config.noise_w_scale)
        inputs: dict[str, NDArray[Any]] = {
            "input": np.array([ids], dtype=np.int64),
            "input_lengths": np.array([len(ids)], dtype=np.int64),
            "scales": np.array(scales, dtype=np.float32),
            **self._speaker(),
        }
        latents, lengths = self._front.run(self._front_outputs, inputs)
        ends = np.cumsum(lengths.reshape(-1)).astype(np.int64)
        samples_per_frame = self._decoder.samples_per_frame if self._decoder else latents.shape[-1] // ends[-1]
        return latents, ends[np.array(places) - 1] * samples_per_frame

    def _audio(self, latents: Frames) -> Iterator[Samples]:
        """The audio of a sentence, piece by piece."""
        return self._decoder.windows(latents) if self._decoder else iter((latents.reshape(-1),))

    def _speaker(self) -> dict[str, NDArray[np.int64]]:
        return {SPEAKER: np.zeros(1, dtype=np.int64)} if self._piper.config.num_speakers > 1 else {}


def read_voice(model_dir: Path) -> Voice:
    """The voice in a folder, without loading it. Its id is the file's name, as in ``en_US-joe-medium``.

    Raises:
        SpeechError: ``model_corrupt``.
    """
    path = _config_path(model_dir)
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_VoiceFile)
    except (OSError, msgspec.DecodeError):
        raise _corrupt(model_dir) from None
    name = path.name.removesuffix(_CONFIG_SUFFIX)
    language, _, rest = name.partition("-")
    return Voice(
        id=name,
        model=model_dir.name,
        language=language.replace("_", "-"),
        sample_rate_hz=config.audio.sample_rate,
        name=rest.partition("-")[0],
    )


class _Audio(msgspec.Struct, frozen=True):
    sample_rate: int


class _VoiceFile(msgspec.Struct, frozen=True):
    audio: _Audio


def _config_path(model_dir: Path) -> Path:
    configs = list(model_dir.glob(f"*{_CONFIG_SUFFIX}"))
    if len(configs) != 1:
        raise _corrupt(model_dir)
    return configs[0]


def _corrupt(model_dir: Path) -> SpeechError:
    return SpeechError(
        ErrorCode.MODEL_CORRUPT,
        f"The files of the model {model_dir.name} are not those of a Piper voice. "
        f"Run: antiphon models pull {model_dir.name} --force",
        param="model",
    )


def _is_speakable(text: str) -> bool:
    """Whether there is more than white space and punctuation: letters, digits or symbols."""
    return any(unicodedata.category(character)[0] in "LNS" for character in text)


def _pieces(phonemes: Sequence[str]) -> Iterator[Sequence[str]]:
    """A sentence in pieces that are not too long, cut at spaces where there are any."""
    while len(phonemes) > _MAX_PHONEMES:
        spaces = [index for index in range(1, _MAX_PHONEMES) if phonemes[index] == " "]
        cut = spaces[-1] if spaces else _MAX_PHONEMES
        yield phonemes[:cut]
        phonemes = phonemes[cut:]
    yield phonemes
