"""All that a run leaves in its folder."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from evals.junit import junit
from evals.markdown import markdown
from evals.page import page
from evals.report import REPORT, Report, save
from evals.samples import Sample, write_samples

PAGE: Final = "report.html"
MARKDOWN: Final = "report.md"
JUNIT: Final = "junit.xml"
_UNFINISHED: Final = ".unfinished"


def write(report: Report, samples: Iterable[Sample], folder: Path) -> None:
    """The report and ``samples.jsonl``; the run is over."""
    write_report(report, folder)
    write_samples(samples, folder)
    (folder / _UNFINISHED).unlink(missing_ok=True)


def write_report(report: Report, folder: Path) -> None:
    """``report.json``, ``report.html``, ``report.md`` and ``junit.xml``."""
    folder.mkdir(parents=True, exist_ok=True)
    save(report, folder / REPORT)
    (folder / PAGE).write_text(page(report), "utf-8")
    (folder / MARKDOWN).write_text(markdown(report), "utf-8")
    (folder / JUNIT).write_text(junit(report), "utf-8")


def begin_anew(folder: Path) -> None:
    """Forget the run that broke off: what it was answered is asked again."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _UNFINISHED).write_text(uuid.uuid4().hex, "utf-8")


def is_begun(folder: Path) -> bool:
    """Whether a run that has a name broke off."""
    return (folder / _UNFINISHED).is_file()


def begun(folder: Path) -> str:
    """Names the run that this folder is for: the same as before, if an earlier one broke off."""
    mark = folder / _UNFINISHED
    if not mark.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(uuid.uuid4().hex, "utf-8")
    return mark.read_text("utf-8")
