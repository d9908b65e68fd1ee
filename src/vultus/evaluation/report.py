"""What a protocol measured: figures with intervals, scores and plots, in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vultus.analysis import Analyzer
from vultus.measure import Estimate
from vultus.measure.plots import save
from vultus.measure.scores import Score, write_scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Report:
    """Figures of one protocol.

    Parameters
    ----------
    protocol
        Name, for example ``lfw-view1``.
    system
        Detector, embedding space and provider that were measured.
    figures
        Estimates by name, in the order in which they are shown.
    facts
        Sizes, thresholds and everything else that explains the figures.
    scores
        Every comparison, with its dev or eval set.
    plots
        Functions that draw a figure, by file stem; called only when the report is written.
    """

    protocol: str
    system: Mapping[str, str]
    figures: Mapping[str, Estimate]
    facts: Mapping[str, Any]
    scores: Sequence[Score] = ()
    plots: Mapping[str, Callable[[], Figure]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "protocol": self.protocol,
            "system": dict(self.system),
            "figures": {name: value.to_dict() for name, value in self.figures.items()},
            "facts": dict(self.facts),
        }

    def write(self, folder: Path, *, suffix: str = ".png") -> list[Path]:
        """Write ``report.json``, ``scores.csv`` and the plots, and return what was written."""
        folder.mkdir(parents=True, exist_ok=True)
        written = [folder / "report.json"]
        written[0].write_text(json.dumps(self.to_dict(), indent=2))
        if self.scores:
            written.append(folder / "scores.csv.gz")
            write_scores(written[-1], self.scores)
        written += [save(plot(), folder / f"{stem}{suffix}") for stem, plot in self.plots.items()]
        return written


def system_of(analyzer: Analyzer) -> dict[str, str]:
    """Name what an analyzer consists of."""
    return {"detector": analyzer.detector.name, "space": analyzer.embedder.space}
