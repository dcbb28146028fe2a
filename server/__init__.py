"""Settings, the command line and the HTTP server; the only package that knows all others."""

from __future__ import annotations

import os

# NumPy's matrix products would each take all cores, and spin while others compute: with two engines at work, products
# of a millisecond took eight. It is read when NumPy is first imported, so this comes before everything else.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
