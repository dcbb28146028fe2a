"""What a section has found so far: kept if it breaks off."""

from __future__ import annotations

from benchmarks.report import Plot, Row


class Result:
    """Grows while a section runs."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.plots: list[Plot] = []
        self.notes: list[str] = []
