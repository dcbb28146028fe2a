"""What the server loads before it is ready."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from server.settings import Settings
from server.speech_engines import fake_host
from server.warmup import Warmup

pytestmark = pytest.mark.anyio


@pytest.fixture
def unfrozen() -> Iterator[None]:
    thresholds = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("unfrozen")
async def test_what_stays_for_good_is_not_gone_through_for_garbage_again() -> None:
    async with fake_host(Settings()) as host:
        warmup = Warmup(host, enabled=True)
        await warmup.run()
        assert warmup.done
        assert not warmup.failures
        assert gc.get_freeze_count() > len(gc.get_objects())
        assert gc.get_threshold()[0] > 700
