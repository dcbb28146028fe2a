"""The threads that compute give way to the event loop, which everyone waits for and which needs little.

Four to six of them share the cores with it, and it waited its turn as they do: under full load on two cores one look at
the clock in a hundred came 15 ms late. So it is 8 (``benchmarks sessions``), and no less is done.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Final

_NICE: Final = 5
"""Of the 19 steps that Linux has: the loop gets three times the time of one of these threads, if all want it."""
_thread = threading.local()


def give_way() -> None:
    """Have this thread give way for good, and the threads that libraries start from it.

    Only Linux has a niceness for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux" and not getattr(_thread, "gives_way", False):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        _thread.gives_way = True
