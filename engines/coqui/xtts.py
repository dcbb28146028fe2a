"""XTTS v2 by Coqui TTS: voices cloned from a recording, in 17 languages, streamed as their tokens are sampled.

Its weights are for non-commercial use (CPML), so nobody gets them without accepting that: ``accept_licence`` in the
catalog. Whose voice is cloned must have consented: :mod:`engines.coqui.cloned_voices`. XTTS says nothing of where
words lie in its audio, so chunks have no words.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from engines.base import Lanes, TtsJob
from engines.coqui.cloned_voices import REFERENCE_RATE_HZ, check_consent, read_reference, read_voices, voices_dir
from engines.coqui.torch_runtime import import_extra, pick_device
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import SpeechChunk, Voice, is_speakable

RATE_HZ: Final = 24_000
_MAX_CHARACTERS: Final = 180
"""XTTS loses its way in longer texts; its own limits are 71 (Korean) to 273 (Spanish) characters."""
_TOKENS_A_CHUNK: Final = 20
"""About a second of audio; Coqui's own default."""
_LATENTS_KEPT: Final = 32
"""Voices whose latents are kept; one takes about 130 kB, and seconds to compute on a CPU."""


class XttsTts:
    """Speech synthesis with the voices of a folder. One thread computes at a time.

    Args:
        model_dir: Folder with ``config.json``, ``model.pth`` and ``vocab.json``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SpeechError: ``missing_extra``, ``model_corrupt``, or ``invalid_setting`` without CUDA.
    """

    def __init__(self, model_dir: Path, *, device: str = "auto") -> None:
        self.lanes = Lanes()
        self._voices_dir = voices_dir(model_dir)
        self._name = model_dir.name
        self.voices = self._read_voices()
        self._model = _load(model_dir).to(pick_device(device))
        self._lock = threading.Lock()
        self._latents: OrderedDict[str, tuple[str, tuple[Any, Any]]] = OrderedDict()

    def synthesize(self, job: TtsJob) -> Iterator[SpeechChunk]:
        """Chunks of about a second. See :class:`engines.base.Tts`.

        Raises:
            SpeechError: ``unknown_voice``, ``unsupported_language``, ``consent_required``, ``cancelled``.
        """
        job.cancellation.check()
        pieces = _pieces(job.text)
        if not pieces:
            return
        language = self._language(job.voice)
        with self._lock:
            condition = self._condition(job.voice)
        for piece in pieces:
            for samples in self._stream(job, piece, language, condition):
                yield SpeechChunk(samples, RATE_HZ)
                job.cancellation.check()

    def close(self) -> None:
        """Free the model's memory."""
        del self._model
        self._latents.clear()

    def _stream(self, job: TtsJob, text: str, language: str, condition: tuple[Any, Any]) -> Iterator[Any]:
        gpt = self._model.gpt.gpt_inference
        stream = self._model.inference_stream(
            text, language, *condition, stream_chunk_size=_TOKENS_A_CHUNK, speed=job.speed
        )
        prefix: Any = None
        try:
            while True:
                job.cancellation.check()
                with self._lock:
                    # What an utterance begins with is kept in the model, where another may have put its own since.
                    if prefix is not None:
                        gpt.store_prefix_emb(prefix)
                    chunk = next(stream, None)
                    prefix = gpt.cached_prefix_emb
                if chunk is None:
                    return
                samples = np.clip(chunk.detach().cpu().numpy().reshape(-1), -1.0, 1.0).astype(np.float32)
                if len(samples):
                    yield samples
        finally:
            stream.close()

    def _language(self, voice_id: str) -> str:
        voice = self._voice(voice_id)
        if voice is None:
            # It may have come since.
            self.voices = self._read_voices()
            voice = self._voice(voice_id)
        if voice is None:
            raise SpeechError(ErrorCode.UNKNOWN_VOICE, f"There is no voice {voice_id!r}.", param="voice")
        known: list[str] = list(self._model.config.languages)
        wanted = voice.language.lower()
        for language in (wanted, wanted.partition("-")[0]):
            found = next((each for each in known if each == language or each.partition("-")[0] == language), None)
            if found is not None:
                return found
        raise SpeechError(
            ErrorCode.UNSUPPORTED_LANGUAGE,
            f"XTTS does not speak {voice.language}, the language of the voice {voice_id}, but {', '.join(known)}.",
            param="voice",
        )

    def _voice(self, voice_id: str) -> Voice | None:
        return next((voice for voice in self.voices if voice.id == voice_id), None)

    def _read_voices(self) -> tuple[Voice, ...]:
        return read_voices(self._voices_dir, model=self._name, sample_rate_hz=RATE_HZ)

    def _condition(self, voice_id: str) -> tuple[Any, Any]:
        """What the model knows of a voice: conditioning latents and speaker embedding."""
        try:
            recording = check_consent(self._voices_dir, voice_id).reference_sha256
        except SpeechError:
            self._latents.pop(voice_id, None)  # what was made of their recording goes with it
            raise
        kept = self._latents.get(voice_id)
        if kept is not None and kept[0] == recording:  # and not that of whoever had the name before
            self._latents.move_to_end(voice_id)
            return kept[1]
        torch = import_extra("torch")
        audio = torch.from_numpy(read_reference(self._voices_dir, voice_id))[None]
        config = self._model.config
        with torch.inference_mode():
            found = (
                self._model.get_gpt_cond_latents(
                    audio, REFERENCE_RATE_HZ, length=config.gpt_cond_len, chunk_length=config.gpt_cond_chunk_len
                ),
                self._model.get_speaker_embedding(audio, REFERENCE_RATE_HZ),
            )
        self._latents[voice_id] = recording, found
        while len(self._latents) > _LATENTS_KEPT:
            self._latents.popitem(last=False)
        return found


def _load(model_dir: Path) -> Any:  # noqa: ANN401 (Coqui's Xtts)
    torch = import_extra("torch")
    configs = import_extra("TTS.tts.configs.xtts_config")
    shared = import_extra("TTS.config.shared_configs")
    models = import_extra("TTS.tts.models.xtts")
    # The published checkpoint holds its configuration as objects of these classes. Were they not allowed here, Coqui
    # would allow them and write the file anew, which then would no longer have its hash.
    allowed = [
        configs.XttsConfig,
        configs.XttsAudioConfig,
        configs.XttsArgs,
        shared.BaseDatasetConfig,
        (configs.XttsAudioConfig, "TTS.tts.models.xtts.XttsAudioConfig"),
        (configs.XttsArgs, "TTS.tts.models.xtts.XttsArgs"),
    ]
    try:
        config = configs.XttsConfig()
        config.load_json(str(model_dir / "config.json"))
        model = models.Xtts(config)
        with torch.serialization.safe_globals(allowed):
            model.load_checkpoint(
                config,
                checkpoint_path=str(model_dir / "model.pth"),
                vocab_path=str(model_dir / "vocab.json"),
                speaker_file_path="",
                eval=True,
            )
    except Exception as error:  # whatever Coqui, torch and pickle make of files that are not right
        raise SpeechError(
            ErrorCode.MODEL_CORRUPT,
            f"The files of the model {model_dir.name} are not those of XTTS ({type(error).__name__}). "
            f"Run: antiphon models pull {model_dir.name} --from FOLDER --force",
            param="model",
        ) from error
    return model


def _pieces(text: str) -> list[str]:
    """A text in sentences, or less where one is long."""
    pieces: list[str] = []
    for sentence in re.split(r"(?<=[.!?…。！？])\s+", text.strip()):
        words = sentence.split()
        piece = ""
        for word in words:
            if piece and len(piece) + 1 + len(word) > _MAX_CHARACTERS:
                pieces.append(piece)
                piece = ""
            piece = f"{piece} {word}".strip()
        pieces.append(piece)
    return [piece for piece in pieces if is_speakable(piece)]
