"""What a section has found so far: kept if it breaks off."""

from __future__ import annotations

from typing import cast

from benchmarks.report import Plot, Row


class Result:
    """Grows while a section runs."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.plots: list[Plot] = []
        self.notes: list[str] = []


def cause(failure: BaseException) -> str:
    """What went wrong, in one line; of a group of failures, the first."""
    while isinstance(failure, BaseExceptionGroup):
        failure = cast("BaseExceptionGroup[BaseException]", failure).exceptions[0]
    return f"{type(failure).__name__}: {failure}"
