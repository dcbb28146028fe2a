"""Installs an imported voice beside the Piper voice it was made of."""

from __future__ import annotations

from pathlib import Path

from engines.coqui.piper_import import import_voice
from engines.coqui.torch_runtime import import_extra
from engines.coqui.vits import CoquiVitsTts
from engines.models.catalog import ModelEntry
from engines.models.store import ModelStore
from engines.piper import read_voice
from schemas.models import ModelKind


def convert_piper_voice(store: ModelStore, voice: str) -> ModelEntry:
    """Make a Coqui VITS model of a Piper voice, load it once, and install it as ``coqui-<voice>``.

    Args:
        store: Where it is installed.
        voice: The name of an installed Piper model, or a folder with a voice's two files.

    Raises:
        SpeechError: ``missing_extra``, ``unknown_model``, ``model_not_installed`` or ``model_corrupt``.
    """
    import_extra("TTS")
    folder = Path(voice) if Path(voice).is_dir() else store.path(voice)
    described = read_voice(folder)
    source = next((entry for entry in store.catalog if entry.name == voice), None)
    entry = ModelEntry(
        name=f"coqui-{described.id}",
        kind=ModelKind.TTS,
        engine="coqui_vits",
        title=f"Piper voice {described.id} on torch",
        licence=source.licence if source else "LicenseRef-of-the-voice",
        licence_url=source.licence_url if source else "",
        licence_notes=source.licence_notes if source else "The licence is that of the Piper voice it was made of.",
        languages=(described.language,),
        sample_rate_hz=described.sample_rate_hz,
    )

    def make(into: Path) -> None:
        import_voice(folder, into)
        CoquiVitsTts(into, device="cpu").close()

    return store.adopt(entry, make)
