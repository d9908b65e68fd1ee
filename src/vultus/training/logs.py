"""Training logs: one long CSV that survives a resume."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

HEADER = ("step", "name", "value")


class CsvLog(Logger):
    """Rows ``step,name,value`` in ``metrics.csv``.

    Parameters
    ----------
    folder
        Where the file lies.
    done
        Steps that the run has behind it; later rows of an earlier, killed run are dropped.
    """

    def __init__(self, folder: Path, done: int = 0) -> None:
        super().__init__()
        self.path = folder / "metrics.csv"
        self._start(done)

    @property
    def name(self) -> str:
        """Name that Lightning asks for."""
        return "csv"

    @property
    def version(self) -> str:
        """Version that Lightning asks for."""
        return ""

    @rank_zero_only
    def _start(self, done: int) -> None:
        rows = [row for row in read_log(self.path) if row[0] <= done] if done else []
        part = self.path.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(HEADER)
            writer.writerows(rows)
        os.replace(part, self.path)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append one row per metric."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows((step, k, repr(float(v))) for k, v in metrics.items())

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Do nothing: the recipe is stored beside the log."""


def read_log(path: Path) -> list[tuple[int, str, float]]:
    """Return the rows (step, name, value) of a ``metrics.csv``; empty if there is none."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    # A killed run may leave its last line half written.
    return [(int(row[0]), row[1], float(row[2])) for row in rows if len(row) == 3 and row[2]]
