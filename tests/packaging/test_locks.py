"""The lock files: what to install, by version and hash, from wherever pip is told to look."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ["requirements.lock", "requirements-bench.lock", "requirements-dev.lock"]
CLIENTS = "requirements-clients.lock"
PEERS = ["fastkokoro", "piper-http", "whisper-live", "wyoming-faster-whisper"]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(path: Path) -> dict[str, str]:
    """What stands after each name, its hashes included; comments dropped."""
    text = "\n".join(line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#"))
    lines = text.replace("\\\n", " ").splitlines()
    return {line.partition("==")[0]: line.partition("==")[2] for line in lines if line.strip()}


@pytest.mark.parametrize("name", [*LOCKS, CLIENTS])
def test_every_entry_is_one_version_with_hashes(name: str, root: Path) -> None:
    locked = entries(root / name)
    assert locked
    assert [package for package, rest in locked.items() if not re.match(r"[0-9]", rest) or not HASH.search(rest)] == []


@pytest.mark.parametrize("name", [*LOCKS, CLIENTS])
def test_no_index_is_named(name: str, root: Path) -> None:
    assert "://" not in (root / name).read_text("utf-8")
    options = {option for rest in entries(root / name).values() for option in re.findall(r"(?<!\S)--?[a-z-]+", rest)}
    assert options == {"--hash"}
    assert [line for line in entries(root / name) if line.startswith("-")] == []


@pytest.mark.parametrize("peer", PEERS)
def test_what_a_peer_of_the_benchmarks_is_made_of_is_pinned_as_well(peer: str, root: Path) -> None:
    test_every_entry_is_one_version_with_hashes(f"benchmarks/peers/{peer}.lock", root)
    test_no_index_is_named(f"benchmarks/peers/{peer}.lock", root)
    assert sorted(path.stem for path in (root / "benchmarks/peers").glob("*.lock")) == PEERS


@pytest.mark.parametrize("name", [*LOCKS, CLIENTS])
def test_there_is_no_torch(name: str, root: Path) -> None:
    assert [package for package in entries(root / name) if package.startswith(("torch", "nvidia-"))] == []


def test_the_development_lock_adds_to_the_others_and_changes_nothing(root: Path) -> None:
    # Development tools may want a package on more platforms: the condition after the version may differ.
    runtime, bench, development = (
        {package: (rest.split()[0], *HASH.findall(rest)) for package, rest in entries(root / name).items()}
        for name in LOCKS
    )
    assert runtime.items() <= bench.items() <= development.items()


def test_every_declared_dependency_is_locked(root: Path, pyproject: dict[str, Any]) -> None:
    project, groups = pyproject["project"], pyproject["dependency-groups"]
    runtime = [*project["dependencies"], *project["optional-dependencies"]["piper"], *groups["build"]]
    bench = [*runtime, *project["optional-dependencies"]["bench"]]
    extras = [
        declared
        for extra in ("kokoro-ja", "kokoro-zh", "evals", "otel")
        for declared in project["optional-dependencies"][extra]
    ]
    for name, declared in zip(LOCKS, (runtime, bench, [*bench, *extras, *groups["dev"]]), strict=True):
        locked = entries(root / name)
        for requirement in map(Requirement, declared):
            version = locked[canonicalize_name(requirement.name)].split()[0]
            assert requirement.specifier.contains(version), requirement


def test_the_clients_have_the_openai_client_of_the_suite(root: Path) -> None:
    versions = {entries(root / name)["openai"].split()[0] for name in (CLIENTS, "requirements-dev.lock")}
    assert len(versions) == 1


def test_what_node_installs_is_pinned_by_its_content(root: Path) -> None:
    text = (root / "tests/clients/package-lock.json").read_text("utf-8")
    assert "://" not in text
    packages = {name: package for name, package in json.loads(text)["packages"].items() if name}
    assert "node_modules/openai" in packages
    assert [name for name, package in packages.items() if not package["integrity"].startswith("sha512-")] == []
