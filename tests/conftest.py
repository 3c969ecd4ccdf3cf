"""One thread per test process: workers of pytest-xdist share the cores, and results do not depend on their number."""

from __future__ import annotations

import os

# Before NumPy, numba or torch is imported anywhere: each reads its variable once.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
