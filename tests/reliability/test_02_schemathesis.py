"""Row 2: what schemathesis makes of the OpenAPI document gets no unexpected 5xx, and no answer the document forbids."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina

pytestmark = pytest.mark.flow

SEED = 2
CASES_PER_OPERATION = 12


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server of its own process, over fake engines: how it answers is what counts, and not what it hears."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--fake-engines", "--log-format", "json"]
    environment = {
        **os.environ,
        "ANTIPHON_STORE_KIND": "memory",
        "ANTIPHON_LIMITS_MAX_SESSIONS": "10000",
        "ANTIPHON_LIMITS_MAX_TEXT_CHARS": "1000",  # longer ones are spoken for many seconds
    }
    log = tmp_path / "server.log"
    with (
        log.open("w") as out,
        subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment) as server,
    ):
        try:
            yield _address(log, server)
        finally:
            server.terminate()


def test_no_generated_request_gets_an_answer_that_the_document_forbids(url: str, root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={root / 'tests' / 'reliability' / 'schemathesis.toml'}",
            "run",
            f"{url}/openapi.json",
            f"--seed={SEED}",
            f"--max-examples={CASES_PER_OPERATION}",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\d+ generated, \d+ passed", done.stdout)


def _address(log: Path, server: subprocess.Popen[bytes]) -> str:
    for attempt in stamina.retry_context(on=LookupError, timeout=60.0, attempts=None, wait_max=0.2):
        with attempt:
            assert server.poll() is None, log.read_text()
            if (found := re.search(r"listens on (http://[^ ]+?)\.? ", log.read_text())) is None:
                raise LookupError
            return found[1]
    raise AssertionError
