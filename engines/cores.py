"""How many cores there are to share out."""

from __future__ import annotations

import os
import sys


def usable_cores() -> int:
    """Cores that this process may use; a quota of processor time, as containers have it, is not seen."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
