"""Results as JUnit's XML, which every CI shows: a test for each figure that should be somewhere."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from evals.figures import figure, wanted
from evals.report import Report, Row


def junit(report: Report) -> str:
    """A suite a section; figures without a bound are no tests."""
    root = ET.Element("testsuites", name=report.title)
    for section in report.sections:
        judged = [row for row in section.rows if row.target is not None or row.hard_zero or row.judged]
        if not judged:
            continue
        suite = ET.SubElement(
            root,
            "testsuite",
            name=section.name,
            tests=str(len(judged)),
            failures=str(sum(row.verdict == "missed" for row in judged)),
            skipped=str(sum(row.estimate is None and row.verdict != "missed" for row in judged)),
            time=f"{section.took_s:.1f}",
        )
        for row in judged:
            _case(suite, section.name, row)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, section: str, row: Row) -> None:
    case = ET.SubElement(suite, "testcase", classname=section, name=f"{row.id}: {row.title}")
    if row.verdict == "missed":
        failure = ET.SubElement(
            case, "failure", message=f"{figure(row.estimate, row.unit)}, and should be {wanted(row)}"
        )
        failure.text = row.note
    elif row.estimate is None:
        ET.SubElement(case, "skipped", message=row.note or "not measured")
