from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import respx
from click.testing import CliRunner, Result

from engines.models.catalog import Catalog, HuggingFaceOrigin, ModelEntry, ModelFile
from engines.models.store import ModelStore
from schemas.models import ModelKind
from server.cli import models as command
from server.cli.models import models

DATA = b"weights" * 1_000


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Runs ``antiphon models`` with the real catalog and an empty folder of models."""

    def invoke(*arguments: str, **environment: str) -> Result:
        return CliRunner().invoke(
            models, arguments, env={"ANTIPHON_MODELS_DIR": str(tmp_path / "models"), **environment}
        )

    return invoke


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store that knows one small model, ``tiny``, a default."""
    entry = ModelEntry(
        name="tiny",
        kind=ModelKind.VAD,
        engine="silero",
        title="A small model",
        licence="MIT",
        licence_url="https://example.test/licence",
        sample_rate_hz=16_000,
        default=True,
        files=(ModelFile("model.onnx", hashlib.sha256(DATA).hexdigest(), len(DATA)),),
        origins=(HuggingFaceOrigin(repo="people/tiny", revision="main"),),
    )
    return ModelStore(tmp_path / "models", Catalog([entry]))


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb/model.onnx").write_bytes(DATA)
    return str(tmp_path / "usb")


def test_list_shows_every_model(run: Callable[..., Result]) -> None:
    result = run("list")
    assert result.exit_code == 0
    for entry in Catalog.load():
        assert entry.name in result.output
    assert "GPL-3.0" in result.output


def test_list_as_json_has_every_detail(run: Callable[..., Result]) -> None:
    rows = {row["name"]: row for row in json.loads(run("list", "--json").output)}
    assert rows["whisper-base"]["default"] is True
    assert rows["whisper-base"]["installed"] is False
    assert rows["whisper-base"]["licence"] == "MIT"
    assert len(rows["whisper-base"]["languages"]) == 99
    assert rows["piper-en_US-joe-medium"]["sample_rate_hz"] == 22_050


def test_a_failure_is_one_line_and_exit_code_1(run: Callable[..., Result]) -> None:
    result = run("pull", "silero-vad")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "There is no model 'silero-vad'. Did you mean silero-vad-v6?\n"


def test_a_failed_pull_tells_why_and_what_to_do(run: Callable[..., Result], tmp_path: Path) -> None:
    result = run("pull", "silero-vad-v6", "--from", str(tmp_path))
    assert result.exit_code == 1
    assert "it has no readable silero_vad.onnx" in result.stderr
    assert "--from FOLDER" in result.stderr


def test_a_pull_of_nothing_is_a_mistake_in_usage(run: Callable[..., Result]) -> None:
    result = run("pull")
    assert result.exit_code == 2
    assert "--default" in result.stderr


def test_a_token_that_cannot_be_sent_is_told_without_it(run: Callable[..., Result]) -> None:
    result = run("list", HF_TOKEN="sécret")
    assert result.exit_code == 1
    assert "HF_TOKEN" in result.stderr
    assert "cret" not in result.stderr


@pytest.mark.parametrize("arguments", [[], ["list"], ["pull"], ["verify"], ["rm"]])
def test_help_is_there_for_every_command(run: Callable[..., Result], arguments: list[str]) -> None:
    result = run(*arguments, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_pull_then_pull_again_then_remove(store: ModelStore, source: str) -> None:
    first = CliRunner().invoke(command.pull, ["tiny", "--from", source], obj=store)
    assert first.output == "tiny fetched and checked, 0.0 MB\n"
    again = CliRunner().invoke(command.pull, ["--default"], obj=store)
    assert again.output == "tiny already installed, 0.0 MB\n"
    removed = CliRunner().invoke(command.rm, ["tiny"], obj=store)
    assert removed.output == "tiny deleted, 0.0 MB freed\n"
    gone = CliRunner().invoke(command.rm, ["tiny"], obj=store)
    assert gone.output == "tiny is not installed\n"


@respx.mock
def test_a_pull_tells_where_from_in_plain_lines(store: ModelStore) -> None:
    respx.get("https://huggingface.co/people/tiny/resolve/main/model.onnx").respond(content=DATA)
    result = CliRunner().invoke(command.pull, ["tiny"], obj=store)
    assert result.output == ("tiny fetching 0.0 MB from Hugging Face people/tiny\ntiny fetched and checked, 0.0 MB\n")


@respx.mock
def test_a_pull_draws_a_bar_on_a_terminal(store: ModelStore) -> None:
    respx.get("https://huggingface.co/people/tiny/resolve/main/model.onnx").respond(content=DATA)
    result = CliRunner().invoke(command.pull, ["tiny"], obj=store, env={"FORCE_COLOR": "1"})
    assert "7.0/7.0 kB" in result.output
    assert "━" in result.output


def test_verify_names_what_is_damaged_and_exits_with_1(store: ModelStore, source: str, tmp_path: Path) -> None:
    store.pull("tiny", source=Path(source))
    intact = CliRunner().invoke(command.verify, [], obj=store)
    assert (intact.exit_code, intact.output) == (0, "tiny ok\n")
    (tmp_path / "models/tiny/model.onnx").write_bytes(b"damage")
    damaged = CliRunner().invoke(command.verify, [], obj=store)
    assert damaged.exit_code == 1
    assert damaged.output == "tiny model.onnx corrupt: antiphon models pull tiny --force\n"


def test_verify_of_a_model_that_is_not_there_says_how_to_get_it(store: ModelStore) -> None:
    result = CliRunner().invoke(command.verify, ["tiny"], obj=store)
    assert result.exit_code == 1
    assert result.output == "tiny not installed: antiphon models pull tiny\n"


def test_names_are_completed_in_the_shell(run: Callable[..., Result]) -> None:
    result = run(_MODELS_COMPLETE="bash_complete", COMP_WORDS="models pull whis", COMP_CWORD="2")
    assert "whisper-base" in result.output
    assert "silero" not in result.output
