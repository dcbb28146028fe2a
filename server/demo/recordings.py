"""The human voices of the demo: two clips in the public domain, or what the caller gives."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio import to_thread
from msgspec import Struct

from engines.codec.decoder import Decoder
from schemas.audio import SESSION_RATE_HZ
from schemas.errors import ErrorCode, SpeechError
from server.demo.script import Recording


class Clip(Struct, frozen=True):
    """A recording that comes with the project; its origin is told in ``examples/README.md``."""

    name: str
    text: str


SPEECH: Final = Clip(
    "invention-of-printing.flac",
    "The invention of movable metal letters in the middle of the 15th century may justly be considered as the "
    "invention of the art of printing.",
)
INTERRUPTION: Final = Clip("made-amiable.flac", "He might even have been made amiable himself.")
_IN_PACKAGE: Final = Path(__file__).parent / "examples"
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "examples"


def examples_folder() -> Path:
    """Where the clips are: in the package if it was installed, else in the checkout.

    Raises:
        SpeechError: ``invalid_setting`` if they are in neither.
    """
    for folder in (_IN_PACKAGE, _IN_CHECKOUT):
        if (folder / SPEECH.name).is_file():
            return folder
    raise SpeechError(
        ErrorCode.INVALID_SETTING,
        "The recordings of the demo are not part of this installation. Run it in a checkout of the project.",
    )


async def load_recording(path: Path, text: str | None, decoder: Decoder) -> Recording:
    """A voice from an audio file of any common format.

    Raises:
        SpeechError: ``invalid_setting`` if the file cannot be read; what :class:`Decoder` raises.
    """
    try:
        data = await to_thread.run_sync(path.read_bytes)
    except OSError as error:
        raise SpeechError(ErrorCode.INVALID_SETTING, f"{path} cannot be read: {error.strerror}.") from error
    audio = await decoder.decode(data, sample_rate_hz=SESSION_RATE_HZ)
    return Recording(audio.samples, text)
