"""``antiphon eval``: measures how well it hears, speaks and converses."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

import click

from schemas.errors import ErrorCode, SpeechError
from server.cli.lazy_group import LazyCommand, LazyGroup

_NEEDED: Final = ("jinja2", "jiwer", "matplotlib", "psutil", "scipy", "whisper_normalizer")
_COMMANDS: Final = {
    "all": LazyCommand("server.cli.eval.everything", "everything", "All of these, into one report."),
    "asr": LazyCommand("server.cli.eval.asr", "asr", "How well it recognises speech."),
    "compare": LazyCommand("server.cli.eval.compare", "compare", "What changed from one run to another, and a gate."),
    "robustness": LazyCommand("server.cli.eval.robustness", "robustness", "How it hears speech that arrives badly."),
    "system": LazyCommand("server.cli.eval.system", "system", "How a server bears load, and keeps its callers apart."),
    "tts": LazyCommand("server.cli.eval.tts", "tts", "How well it speaks."),
    "turns": LazyCommand("server.cli.eval.turns", "turns", "How well it takes turns, with simulated users."),
}


@click.group("eval", cls=LazyGroup, lazy=_COMMANDS)
def evaluate() -> None:
    """Measure how well it hears, speaks and converses: a server, or anything that can be held against it."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SpeechError(
            ErrorCode.MISSING_EXTRA,
            f"Evaluation needs packages that are missing ({', '.join(missing)}). Run: pip install 'antiphon[evals]'",
        )
