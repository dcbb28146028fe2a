"""``antiphon voices``: recordings of people that XTTS speaks with, and their consent."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
import numpy as np
from rich_click import RichGroup

from engines.codec.audio_file import decode_file
from engines.codec.container import sniff
from engines.coqui.cloned_voices import REFERENCE_RATE_HZ, Consent, add_voice, read_voices, remove_voice, revoke_consent
from engines.models.store import default_root
from schemas.audio import Samples
from schemas.errors import ErrorCode, SpeechError

_MAX_RECORDING_S: Final = 600.0


@click.group(cls=RichGroup)
@click.option(
    "--models-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="ANTIPHON_MODELS_DIR",
    show_envvar=True,
    default=default_root,
    show_default="the user's cache folder",
    help="Folder of models, in which voices have a folder of their own.",
)
@click.pass_context
def voices(context: click.Context, models_dir: Path) -> None:
    """Keep voices of people who agreed to it, for models that clone them.

    \b
    Examples:
      antiphon voices add ada --from ada.wav --language en --given-by "Ada King" --scope "our phone menu"
          --statement "I agree that my voice is cloned for the phone menu."
      antiphon voices list
      antiphon voices revoke ada
      antiphon voices rm ada
    """  # noqa: D301 - the character \b keeps click from joining lines
    context.obj = models_dir / "voices"


@voices.command()
@click.argument("name")
@click.option(
    "--from",
    "recording",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="A recording of the voice, 3 s or longer; 30 s are kept.",
)
@click.option("--language", required=True, help="What the voice is to speak, BCP 47, as in en or pt-BR.")
@click.option("--given-by", required=True, help="Whose voice it is.")
@click.option("--statement", required=True, help="What they agreed to, in their words.")
@click.option("--scope", required=True, help="What the voice may be used for.")
@click.option("--tenant", help="Whose keys and tokens alone may speak with it.  [default: everyone]")
@click.pass_obj
def add(
    folder: Path,
    name: str,
    *,
    recording: Path,
    language: str,
    given_by: str,
    statement: str,
    scope: str,
    tenant: str | None,
) -> None:
    """Add a voice, with the consent of whom it is of."""
    consent = Consent(
        given_by=given_by,
        given_at=datetime.now(UTC).isoformat(timespec="seconds"),
        statement=statement,
        scope=scope,
        language=language,
        tenant=tenant,
    )
    add_voice(folder, name, _decoded(recording), consent)
    click.echo(f"{name} added, with the consent of {given_by}")


@voices.command("list")
@click.pass_obj
def list_voices(folder: Path) -> None:
    """Show the voices that may be spoken with."""
    for voice in read_voices(folder, model="", sample_rate_hz=0):
        click.echo(f"{voice.id}  {voice.language}")


@voices.command()
@click.argument("name")
@click.pass_obj
def revoke(folder: Path, name: str) -> None:
    """Take back the consent to a voice: its recording is erased, and it is spoken no more."""
    revoke_consent(folder, name)
    click.echo(f"the consent to {name} is revoked, and the recording erased")


@voices.command()
@click.argument("name")
@click.pass_obj
def rm(folder: Path, name: str) -> None:
    """Delete a voice, its recording and its consent."""
    click.echo(f"{name} deleted" if remove_voice(folder, name) else f"there is no voice {name}")


def _decoded(recording: Path) -> Samples:
    data = recording.read_bytes()
    container = sniff(data)
    if container is None:
        raise SpeechError(ErrorCode.UNSUPPORTED_FORMAT, "The recording is of no kind that is known: try WAV or FLAC.")
    pcm = b"".join(decode_file(data, container, sample_rate_hz=REFERENCE_RATE_HZ, max_duration_s=_MAX_RECORDING_S))
    return np.frombuffer(pcm, dtype="<i2").astype(np.float32) / np.float32(32_768)
