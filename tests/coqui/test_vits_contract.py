"""What every synthesiser must do, for the one on torch."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from engines.base import Tts
from engines.coqui.vits import CoquiVitsTts


@pytest.fixture(scope="module")
def tts(imported_dir: Path) -> Iterator[Tts]:
    engine = CoquiVitsTts(imported_dir, device="cpu")
    yield engine
    engine.close()


# The tests of the suite become this module's, with the fixture above.
_spec = spec_from_file_location("tts_contract", Path(__file__).parents[1] / "contract" / "test_tts_contract.py")
assert _spec is not None
assert _spec.loader is not None
_contract = module_from_spec(_spec)
_spec.loader.exec_module(_contract)
globals().update({name: test for name, test in vars(_contract).items() if name.startswith("test_")})
