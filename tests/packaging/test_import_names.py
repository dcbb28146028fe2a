"""ADR-0001: the packages have generic names, so nothing may stand in front of them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path


def test_each_package_resolves_inside_this_checkout_from_anywhere(
    packages: list[str], root: Path, tmp_path: Path
) -> None:
    code = f"import importlib.util as u; print(*(u.find_spec(name).origin for name in {packages}), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert [Path(line) for line in found.stdout.splitlines()] == [root / name / "__init__.py" for name in packages]


def test_no_other_distribution_installs_a_package_of_the_same_name(packages: list[str]) -> None:
    providers = importlib.metadata.packages_distributions()
    assert {provider for name in packages for provider in providers.get(name, [])} <= {"antiphon"}


def test_every_package_of_the_checkout_is_in_the_wheel(packages: list[str], root: Path) -> None:
    # The benchmarks measure a checkout, beside peers that nobody else needs to install.
    assert {*packages, "benchmarks"} == {path.parent.name for path in root.glob("*/__init__.py")}
