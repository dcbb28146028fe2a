"""Piper voices on torch: VITS by Coqui TTS, on a CPU or a GPU, batched.

What is said and when is Piper's (:mod:`engines.piper`): phonemes, pronunciations, word times, windows, gain. What
computes it is Coqui's model (:mod:`engines.coqui.vits_network`). ONNX Runtime is faster on a CPU; a GPU is what this
is for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from engines.coqui.torch_runtime import pick_device
from engines.coqui.vits_network import load_network
from engines.piper import PiperTts, read_voice
from schemas.errors import ErrorCode, SpeechError
from schemas.speech import Voice

_GPU_WORKERS: Final = 16
"""Utterances that may share a batch on a GPU. On a CPU a batch gains little, and fewer workers wait less."""


class CoquiVitsTts(PiperTts):
    """Speech synthesis with one imported voice. The model computes for one thread at a time; the others are batched.

    Args:
        model_dir: What ``antiphon models convert`` made.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Syntheses at once on a CPU.

    Raises:
        SpeechError: ``missing_extra``, ``model_corrupt``, or ``invalid_setting`` without CUDA.
    """

    def __init__(self, model_dir: Path, *, device: str = "auto", workers: int = 2) -> None:
        where = pick_device(device)
        lanes = workers if where.type == "cpu" else _GPU_WORKERS
        try:
            network = load_network(model_dir, device=where, max_batch=lanes)
        except ValueError:
            raise SpeechError(
                ErrorCode.MODEL_CORRUPT,
                f"The files of the model {model_dir.name} are not those of an imported voice. "
                "Make it anew: antiphon models convert",
                param="model",
            ) from None
        super().__init__(model_dir, network=network, workers=lanes)
        self.voices = (read_coqui_voice(model_dir),)


def read_coqui_voice(model_dir: Path) -> Voice:
    """The voice in a folder, without loading it. Its id is that of the Piper voice, with ``coqui-`` before it.

    Raises:
        SpeechError: ``model_corrupt``.
    """
    voice = read_voice(model_dir)
    return replace(voice, id=f"coqui-{voice.id}", name=f"{voice.name} (torch)")
