"""What is built can be installed into an empty environment, and runs there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture(scope="module")
def dist(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(root)],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def antiphon(wheel: Path, root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs the console script of a fresh environment: the locked dependencies and the wheel, nothing else."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    pip = [str(folder / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(root / "requirements.lock")], check=True)
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANTIPHON_", "PYTHON"))}
    environment["ANTIPHON_MODELS_DIR"] = str(folder / "models")

    def run(*arguments: str) -> str:
        command = [str(folder / "venv/bin/antiphon"), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: Path, root: Path, packages: list[str]) -> None:
    expected = {
        path.relative_to(root).as_posix()
        for name in packages
        for path in (root / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "engines/models/catalog.toml" in expected
    expected |= {f"server/demo/examples/{path.name}" for path in (root / "examples").glob("*.flac")}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_the_wheel_carries_the_licence_and_its_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (licence,) = [name for name in archive.namelist() if name.endswith(".dist-info/licenses/LICENSE")]
    assert "Apache License" in archive.read(licence).decode()
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = archive.read(metadata).decode().splitlines()
    assert {"License-Expression: Apache-2.0", "Provides-Extra: piper", "Provides-Extra: cuda"} <= set(lines)


def test_the_source_distribution_has_what_a_packager_needs_and_no_tests(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "requirements.lock", "docs/http-api.md"} <= names
    assert [name for name in names if name.startswith(("tests/", ".venv/", "demo-out/"))] == []


def test_the_installed_command_shows_its_help(antiphon: Run) -> None:
    shown = antiphon("--help")
    assert all(command in shown for command in ("serve", "demo", "transcribe", "say", "models", "tools"))


def test_the_installed_command_tells_its_version(antiphon: Run) -> None:
    assert version("antiphon") in antiphon("--version")


def test_the_installed_command_knows_the_catalog(antiphon: Run) -> None:
    models = json.loads(antiphon("models", "list", "--json"))
    assert {model["name"] for model in models if model["default"]} >= {"whisper-base", "silero-vad-v6"}
    assert not any(model["installed"] for model in models)


def test_the_installed_server_can_be_configured(antiphon: Run) -> None:
    settings = json.loads(antiphon("serve", "--port", "9000", "--print-settings", "--json"))
    assert settings["server"]["port"] == 9000
