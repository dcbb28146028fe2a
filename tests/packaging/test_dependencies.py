"""What the code imports is declared, and what is declared is free to use."""

from __future__ import annotations

import ast
import importlib.metadata
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

MAX_NAME_CHARS = 200
BUILD_ONLY = {"tests", "scripts", "examples"}


def names(requirements: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def imported(folders: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Top-level names of third-party imports, wherever they stand in a module."""
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import():
                    found = [alias.name for alias in node.names]
                case ast.ImportFrom(module=str(module), level=0):
                    found = [module]
                case _:
                    continue
            yield from ((name.partition(".")[0], path) for name in found)


def undeclared(folders: Iterable[Path], allowed: set[str], first_party: set[str]) -> set[tuple[str, str]]:
    distributions = importlib.metadata.packages_distributions()
    return {
        (name, path.name)
        for name, path in imported(folders)
        if name not in sys.stdlib_module_names | first_party
        and not (path.parent / f"{name}.py").exists()  # a script's neighbour
        and not {canonicalize_name(found) for found in distributions.get(name, [])} & allowed
    }


def test_what_the_wheel_imports_is_a_dependency_or_an_extra(
    packages: list[str], pyproject: dict[str, Any], root: Path
) -> None:
    project = pyproject["project"]
    extras = [text for extra in project["optional-dependencies"].values() for text in extra]
    allowed = names([*project["dependencies"], *extras])
    assert undeclared([root / name for name in packages], allowed, set(packages)) == set()


def test_what_tests_scripts_and_examples_import_is_declared_too(
    packages: list[str], pyproject: dict[str, Any], root: Path
) -> None:
    project = pyproject["project"]
    extras = project["optional-dependencies"]
    allowed = names(
        [
            *project["dependencies"],
            *extras["piper"],
            *extras["bench"],
            *extras["otel"],
            *pyproject["dependency-groups"]["dev"],
        ]
    )
    found = undeclared([root / name for name in sorted(BUILD_ONLY)], allowed, {*packages, "benchmarks"})
    # These have environments of their own, in which they could not run without what they import.
    in_their_own = {path.name for folder in ("coqui", "clients") for path in (root / "tests" / folder).glob("*.py")}
    assert {(name, file) for name, file in found if file not in in_their_own} == set()


def closure(requirements: Iterable[str]) -> set[str]:
    """Names of distributions that an installation without extras brings along."""
    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        requirement = todo.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or []:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                inner.marker = None
                todo.append(inner)
    return found


def is_gpl(name: str) -> bool:
    metadata = importlib.metadata.metadata(name).json
    licences = [metadata.get("license_expression"), metadata.get("license"), *(metadata.get("classifier") or ())]
    # A field that holds the whole text of a licence names others in passing.
    return any("GPL" in text and "LGPL" not in text for text in map(str, licences) if len(text) < MAX_NAME_CHARS)


def test_the_default_installation_has_nothing_under_the_gpl(pyproject: dict[str, Any]) -> None:
    installed = closure(pyproject["project"]["dependencies"])
    assert len(installed) > len(pyproject["project"]["dependencies"])
    assert {name for name in installed if is_gpl(name)} == set()


def test_piper_is_under_the_gpl_and_so_an_extra(pyproject: dict[str, Any]) -> None:
    assert is_gpl("piper-tts")
    assert names(pyproject["project"]["optional-dependencies"]["piper"]) == {"piper-tts"}


@pytest.mark.parametrize("name", ["torch", "torchaudio", "transformers"])
def test_the_default_installation_needs_no_deep_learning_framework(name: str, pyproject: dict[str, Any]) -> None:
    assert name not in closure(pyproject["project"]["dependencies"])
