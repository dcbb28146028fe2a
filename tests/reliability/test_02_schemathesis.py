"""Row 2: what schemathesis makes of the OpenAPI document gets no unexpected 5xx, and no answer the document forbids."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.flow

SEED = 2
CASES_PER_OPERATION = 12


def test_no_generated_request_gets_an_answer_that_the_document_forbids(
    server_process: Any, root: Path, tmp_path: Path
) -> None:
    # How it answers is what counts, and not what it hears; longer texts are spoken for many seconds.
    with server_process(limits_max_sessions=10_000, limits_max_text_chars=1_000) as server:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                f"--config-file={root / 'tests' / 'reliability' / 'schemathesis.toml'}",
                "run",
                f"{server.url}/openapi.json",
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
    summary = re.search(r"\d+ generated, \d+ passed.*", done.stdout)
    assert summary is not None
    print(summary[0])
