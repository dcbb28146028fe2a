"""torch and Coqui TTS, which are an extra and are imported only when one of their models is loaded.

Neither has types that strict checking could use, so their modules are ``Any`` here and their values are checked where
they come back as arrays.
"""

from __future__ import annotations

import importlib
from typing import Any

from schemas.errors import ErrorCode, SpeechError

_ROOTS = frozenset({"torch", "torchaudio", "torchcodec", "TTS", "onnx", "six"})


def import_extra(module: str) -> Any:  # noqa: ANN401 (an untyped module)
    """A module of the extra ``coqui``.

    Raises:
        SpeechError: ``missing_extra``.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = (error.name or module).partition(".")[0]
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            f"Coqui models need torch and coqui-tts ({root} cannot be imported). Run: pip install 'antiphon[coqui]'",
        ) from None


def pick_device(device: str) -> Any:  # noqa: ANN401 (a torch.device)
    """The torch device of a setting: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        SpeechError: ``missing_extra``, or ``invalid_setting`` for CUDA where there is none.
    """
    torch = import_extra("torch")
    available = bool(torch.cuda.is_available())
    if device == "auto":
        return torch.device("cuda" if available else "cpu")
    if device.startswith("cuda") and not available:
        raise SpeechError(
            ErrorCode.INVALID_SETTING, "This installation of torch sees no CUDA device; set device to cpu or auto."
        )
    return torch.device(device)
