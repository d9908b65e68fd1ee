"""Cold start: importing the package, the command line's help, and one verification.

Each is a fresh process; the weights are on disk already. Printed are medians of wall-clock seconds.

    python benchmarks/startup.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from skimage import data

from machine import describe_machine

GOALS = {"import vultus": 0.3, "vultus verify": 1.5}


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands to time, by name."""
    pictures = []
    for name, step in (("a", 1), ("b", 2)):
        pictures.append(str(folder / f"{name}.png"))
        Image.fromarray(data.astronaut()[::step, ::step]).save(pictures[-1])
    vultus = [sys.executable, "-m", "vultus"]
    return {
        "python": [sys.executable, "-c", "pass"],
        "import vultus": [sys.executable, "-c", "import vultus"],
        "vultus --help": [*vultus, "--help"],
        "vultus verify": [*vultus, "verify", *pictures],
    }


def main() -> None:
    """Time every command and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        chosen = commands(Path(folder))
        for _ in range(arguments.repeat + 1):
            for name, command in chosen.items():
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                times.setdefault(name, []).append(time.perf_counter() - start)
    # The first round fills the disk cache.
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, seconds in medians.items():
        goal = f"  (goal: under {GOALS[name]} s)" if name in GOALS else ""
        print(f"{name:16} {seconds:6.3f} s{goal}")
    if arguments.json:
        report = {"machine": describe_machine(), "seconds": medians, "repeat": arguments.repeat}
        arguments.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
