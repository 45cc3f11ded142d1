"""Seconds that `import bnn_tutorial` adds to `import torch`: the median over fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = "import time, torch; start = time.perf_counter(); import bnn_tutorial; print(time.perf_counter() - start)"


def main() -> None:
    command = [sys.executable, "-c", CODE]
    seconds = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(7)]
    print(f"import bnn_tutorial adds {statistics.median(seconds):.3f} s to import torch (goal: under 0.3 s)")


if __name__ == "__main__":
    main()
