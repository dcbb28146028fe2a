"""Where each row of the reliability requirements is tested: here, by the number in a module's name, or elsewhere.

A row that lies elsewhere stands in :data:`ELSEWHERE`, and is found by its number: ``pytest -k row_05``.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ELSEWHERE = {
    "row_03_malformed_files_by_every_way_in": (
        "tests/flow/test_malformed.py::test_a_malformed_file_gets_a_typed_answer_and_harms_nothing",
        "tests/flow/test_malformed.py::test_bytes_of_broken_files_do_a_stream_no_harm",
        "tests/flow/test_malformed.py::test_the_command_line_says_of_each_file_what_is_wrong_with_it",
        "tests/engines/codec/test_decoder.py::test_every_malformed_file_is_decoded_or_refused_as_it_should_be",
    ),
    "row_04_seeded_mutants": ("tests/engines/codec/test_mutants.py::test_every_mutant_is_decoded_or_refused",),
    "row_05_files_without_samples": ("tests/flow/test_malformed.py::test_bad_audio_is_named",),
    "row_06_bombs": (
        "tests/engines/codec/test_decoder.py::test_a_bomb_is_refused_before_it_is_decoded",
        "tests/engines/codec/test_decoder.py::test_what_fits_no_memory_is_refused_and_the_worker_stays_small",
    ),
    "row_07_lying_headers": ("tests/flow/test_malformed.py::test_bad_audio_is_named",),
    "row_18_weights_are_data": (
        "tests/engines/models/test_packages.py::test_a_pickle_that_poses_as_a_model_is_bytes_with_the_wrong_hash",
    ),
    "row_28_streams_resume_after_a_crash": (
        "tests/flow/test_restart.py::test_after_kill_9_the_history_is_there_and_a_client_resumes_where_it_was",
    ),
}
HERE = ("02", "08", "09", "10", "11", "12", "13", "14", "15", "16", "17", "29")


@pytest.mark.parametrize(
    "test", [pytest.param(test, id=f"{row}: {test}") for row in ELSEWHERE for test in ELSEWHERE[row]]
)
def test_the_tests_of_a_row_are_where_the_list_says(test: str, root: Path) -> None:
    path, _, name = test.partition("::")
    functions = ast.walk(ast.parse((root / path).read_text("utf-8")))
    assert name in {node.name for node in functions if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def test_row_01_is_the_conformance_suite_in_a_script_of_its_own(root: Path) -> None:
    assert "@scripts/test_conformance.sh" in (root / "Makefile").read_text("utf-8")
    assert (root / "scripts/test_conformance.sh").is_file()


@pytest.mark.parametrize("number", HERE)
def test_a_row_has_a_module_that_says_which_it_is(number: str) -> None:
    (module,) = Path(__file__).parent.glob(f"test_{number}_*.py")
    documentation = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    assert documentation.startswith(f"Row {int(number)}: ")
