"""The Dockerfile, read and not built: every path it copies and every command it runs is there."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import click
import pytest
from dockerfile_parse import DockerfileParser
from msgspec import Struct

from server.cli.main import antiphon
from server.http import health
from server.settings import Settings, load_settings

TARGETS = ("cpu", "cuda")


class Stage(Struct, frozen=True):
    """What lies between two FROMs."""

    name: str
    base: str
    instructions: tuple[tuple[str, str], ...]

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.instructions if name == instruction]

    def value(self, instruction: str) -> str:
        (value,) = self.values(instruction)
        return value

    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for value in self.values("ENV") for word in shlex.split(value))


@pytest.fixture(scope="module")
def stages(root: Path) -> dict[str, Stage]:
    file: Any = io.BytesIO((root / "Dockerfile").read_bytes())  # it wants bytes, whatever its annotation says
    parser = DockerfileParser(fileobj=file)
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for item in cast("list[dict[str, Any]]", parser.structure):
        instruction, value = str(item["instruction"]), str(item["value"])
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            found.append((name, base, []))
        elif instruction != "COMMENT":
            found[-1][2].append((instruction, value))
    return {name: Stage(name, base, tuple(instructions)) for name, base, instructions in found}


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest, stages: dict[str, Stage]) -> Stage:
    return stages[request.param]


def command_of(line: str) -> tuple[click.Command, click.Context]:
    """The subcommand of an ``antiphon`` line, its arguments checked."""
    words = shlex.split(line)
    assert words.pop(0) == "antiphon"
    group = cast("click.Group", antiphon)
    name, command, rest = group.resolve_command(click.Context(group, info_name="antiphon"), words)
    assert command is not None
    return command, command.make_context(name, rest)


def test_there_is_an_image_for_each_kind_of_device_and_the_plain_build_is_for_cpu(stages: dict[str, Stage]) -> None:
    assert set(TARGETS) <= set(stages)
    assert list(stages)[-1] == "cpu"
    assert "cuda:12" in stages["cuda-base"].base
    assert "cudnn" in stages["cuda-base"].base


def test_the_two_images_differ_in_the_device_alone(stages: dict[str, Stage]) -> None:
    cpu, cuda = (
        [re.sub(r"ENGINE_DEVICE=\w+", "", value) for name, value in stages[name].instructions if name != "COPY"]
        for name in TARGETS
    )
    assert cpu == cuda


def test_every_path_that_is_copied_exists_and_reaches_the_builder(
    stages: dict[str, Stage], root: Path, packages: list[str]
) -> None:
    ignored = [line for line in (root / ".dockerignore").read_text("utf-8").split() if not line.startswith("#")]
    sources: set[str] = set()
    for value in (value for stage in stages.values() for value in stage.values("COPY")):
        words = value.split()
        if words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
            continue
        sources |= set(words[:-1])
    assert set(packages) <= sources
    for source in sources:
        assert (root / source).exists(), source
        assert f"!{source}" in ignored, source


def test_nothing_reaches_the_builder_that_is_not_copied(root: Path) -> None:
    lines = (root / ".dockerignore").read_text("utf-8").splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert not any(fnmatch(name, line[1:]) for name in (".git", ".env", ".venv", "tests") for line in patterns[1:])


def test_every_option_of_pip_exists(stages: dict[str, Stage]) -> None:
    lines = [line for stage in stages.values() for value in stage.values("RUN") for line in value.split("&&")]
    pip_lines = [line.partition(" -m pip ")[2].split() for line in lines if " -m pip " in line]
    assert len(pip_lines) >= 4
    for subcommand, *words in pip_lines:
        known = subprocess.run(
            [sys.executable, "-m", "pip", subcommand, "--help"], check=True, capture_output=True, text=True
        ).stdout
        for option in (word for word in words if word.startswith("-")):
            assert re.search(rf"{option}\b", known), f"pip {subcommand} {option}"


def test_dependencies_are_installed_by_hash_and_the_rest_from_what_was_built(stages: dict[str, Stage]) -> None:
    for name in ("cpu-build", "cuda-build"):
        installs = [line for value in stages[name].values("RUN") for line in value.split("&&") if "pip install" in line]
        assert installs
        assert all("--require-hashes" in line or "--no-deps --no-index" in line for line in installs)


def test_the_image_runs_a_command_that_exists_and_listens_where_it_is_exposed(target: Stage) -> None:
    line = shlex.join([*json.loads(target.value("ENTRYPOINT")), *json.loads(target.value("CMD"))])
    command, context = command_of(line)
    assert command.name == "serve"
    assert context.params["server__host"] == "0.0.0.0"
    assert context.params["server__port"] == int(target.value("EXPOSE")) == Settings().server.port


def test_the_comments_show_commands_that_exist(root: Path) -> None:
    text = (root / "Dockerfile").read_text("utf-8")
    lines = re.findall(r"^#   docker run .* (?:antiphon )(antiphon .*|models .*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        command_of(f"antiphon {line}")


def test_the_health_check_asks_a_route_that_exists(target: Stage) -> None:
    command = json.loads(target.value("HEALTHCHECK").partition(" CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "healthcheck", "exec")
    (port, path) = re.findall(r"'127\.0\.0\.1', (\d+).*'GET', '([^']+)'", command[2])[0]
    assert port == target.value("EXPOSE")
    assert path in {route for handler in health.ROUTES for route in handler.paths}


def test_the_environment_of_the_image_is_valid_settings(target: Stage) -> None:
    environment = target.environment()
    settings = load_settings(environment).settings
    volumes = json.loads(target.value("VOLUME"))
    assert settings.models.dir in volumes
    assert settings.store.path is not None
    assert str(Path(settings.store.path).parent) in volumes
    assert environment["PATH"].split(":")[0] == "/opt/antiphon/bin"


def test_the_server_is_not_root_and_owns_its_volumes(target: Stage) -> None:
    user_id, group_id = map(int, target.value("USER").split(":"))
    assert user_id > 0
    (setup,) = target.values("RUN")
    assert f"useradd --uid {user_id}" in setup
    assert f"groupadd --gid {group_id}" in setup
    assert f"--owner=antiphon --group=antiphon {' '.join(json.loads(target.value('VOLUME')))}" in setup


def test_the_server_is_stopped_by_the_signal_it_drains_on(target: Stage) -> None:
    assert target.value("STOPSIGNAL") == "SIGTERM"


def test_no_secret_is_built_in(stages: dict[str, Stage]) -> None:
    names = {name for stage in stages.values() for name in stage.environment()}
    assert not any(re.search(r"(KEY|TOKEN|SECRET|PASSWORD)S?$", name) for name in names)
    assert not any(stage.values("ARG") for stage in stages.values())
