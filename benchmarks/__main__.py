"""Run all benchmarks, one after the other so that none disturbs another: `make bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def main() -> None:
    RESULTS.mkdir(exist_ok=True)
    for arguments in (
        ["montecarlo.py"],
        ["phase_learning.py", "--json", str(RESULTS / "phase_learning.json")],
        ["confusion.py"],
        ["circuits.py"],
        ["nqs.py", "--accuracy"],
        ["generative.py"],
    ):
        print(f"== {arguments[0]}", flush=True)
        code = subprocess.run([sys.executable, str(HERE / arguments[0]), *arguments[1:]], check=False).returncode
        if code:
            sys.exit(code)


if __name__ == "__main__":
    main()
