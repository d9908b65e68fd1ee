"""Interval plots: every group's rate with its interval, side by side (figure 2 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vultus.audit.model_cards.evidence import Result
from vultus.audit.model_cards.markdown import cell_name
from vultus.errors import MeasureError
from vultus.measure.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW = 0.2
_PANEL = 2.4


def interval_plot(
    results: Sequence[Result], metrics: Sequence[str], *, most: int = 2, title: str = ""
) -> Figure:
    """Draw measures of all cells as points with intervals, one panel per measure.

    Hollow points rest on too few independent units; a cross stands where nothing can be estimated.

    Parameters
    ----------
    results
        Of an evaluation or a card; cells appear in their order.
    metrics
        Measures to draw, left to right.
    most
        Most factors in a cell that is drawn.
    title
        Of the figure.

    Raises
    ------
    MeasureError
        If there is no result of one of the measures.
    """
    from matplotlib.figure import Figure

    drawn = [r for r in results if len(r.cell) <= most]
    cells = list(dict.fromkeys(cell_name(r.cell) for r in drawn))
    missing = sorted(set(metrics) - {r.metric for r in drawn})
    if missing or not metrics:
        raise MeasureError(f"no results of {missing} to draw")
    size = (2.6 + _PANEL * len(metrics), 1.1 + _ROW * len(cells))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        _panel(axes, [r for r in drawn if r.metric == metric], cells)
        axes.set_xlabel(metric)
    panels[0].set_yticks(range(len(cells)), [_label(name, drawn) for name in cells])
    panels[0].invert_yaxis()
    if title:
        figure.suptitle(title)
    return figure


def save_plot(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, the same bytes for the same figure."""
    import matplotlib

    # Ids in an SVG are random, and its date is today's, unless told otherwise; letters as
    # outlines would make it several times larger.
    with matplotlib.rc_context({"svg.hashsalt": "vultus", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def _panel(axes: Axes, results: Sequence[Result], cells: Sequence[str]) -> None:
    whole = next((r.estimate.value for r in results if not r.cell), None)
    if whole is not None:
        axes.axvline(whole, color="0.7", linewidth=1, zorder=0)
    for result in results:
        row, estimate = cells.index(cell_name(result.cell)), result.estimate
        colour = COLOURS[min(len(result.cell), len(COLOURS) - 1)]
        if estimate.value is None or estimate.low is None or estimate.high is None:
            axes.plot([0], [row], marker="x", color="0.5", markersize=4)
            continue
        axes.plot([estimate.low, estimate.high], [row, row], color=colour, linewidth=1.2)
        face = "white" if result.small else colour
        axes.plot([estimate.value], [row], "o", color=colour, markerfacecolor=face, markersize=4)
    axes.grid(axis="x", linewidth=0.4, color="0.9")
    axes.set_ylim(-0.7, len(cells) - 0.3)


def _label(name: str, results: Sequence[Result]) -> str:
    n = next(r.n for r in results if cell_name(r.cell) == name)
    return f"{name} (n={n})"
