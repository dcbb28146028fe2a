"""The threads that compute give way to the event loop, which everyone waits for and which needs little.

Four to six of them share the cores with it, and it waited its turn as they do: under full load on two cores one look at
the clock in a hundred came 15 ms late. So it is 8 to 10 (``benchmarks sessions``), and no less is done.

anyio lends its threads to whoever asks, so files and SQLite may be read on such a thread, too.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from typing import Final

_STEPS: Final = 5
"""Of niceness: the loop gets three times the time of one of these threads, if all want it."""
_thread = threading.local()


def give_way() -> None:
    """Have this thread give way for good, and the threads that libraries start from it.

    Only Linux has a niceness for each thread; elsewhere, and where a sandbox forbids it, nothing changes.
    """
    if sys.platform == "linux" and not getattr(_thread, "gives_way", False):
        _thread.gives_way = True
        with suppress(OSError):
            os.nice(_STEPS)
