"""Figures: ROC, DET, CMC, CED, score histograms, EDC and reliability.

Every function returns a ``matplotlib.figure.Figure`` that belongs to the caller alone: pyplot and
its global state are not used, so figures need no closing and threads do not meet. Needs the
``plots`` extra; matplotlib is imported on the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError, MeasureError
from vultus.measure.classification import Reliability
from vultus.measure.comparisons import Comparisons
from vultus.measure.curves import Roc
from vultus.measure.distributions import probit
from vultus.measure.intervals import Estimate
from vultus.measure.quality import Edc

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours that stay apart under the common colour vision deficiencies (Okabe and Ito, 2008).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", ":", "-.")
_DET_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8)
_POINTS = 1000

#: File formats that :func:`save` writes, by suffix.
FORMATS = (".png", ".svg", ".pdf")


def roc(curves: Mapping[str, Roc], *, title: str = "") -> Figure:
    """Draw TAR over FMR, FMR on a logarithmic axis; one curve per system.

    The curve starts at the lowest FMR that the comparisons can show, one error.
    """
    figure, axes = _figure("False match rate", "True accept rate", title)
    for (name, curve), style in zip(_some(curves), _styles(), strict=False):
        points = curve.thin(_POINTS)
        shown = points.fmr > 0
        label = f"{name} ({_pairs(curve)})"
        axes.plot(points.fmr[shown], points.tar[shown], label=label, **style)
    axes.set_xscale("log")
    axes.set_xlim(_lowest(curves.values()), 1)
    axes.set_ylim(0, 1.005)
    _legend(figure)
    return figure


def det(curves: Mapping[str, Roc], *, title: str = "") -> Figure:
    """Draw FNMR over FMR, both on probit axes; one curve per system (Martin et al., 1997)."""
    figure, axes = _figure("False match rate", "False non-match rate", title)
    for (name, curve), style in zip(_some(curves), _styles(), strict=False):
        points = curve.thin(_POINTS)
        shown = (points.fmr > 0) & (points.fmr < 1) & (points.fnmr > 0) & (points.fnmr < 1)
        label = f"{name} ({_pairs(curve)})"
        axes.plot(probit(points.fmr[shown]), probit(points.fnmr[shown]), label=label, **style)
    lowest = _lowest(curves.values()), min(1 / curve.n_genuine for curve in curves.values())
    for axis, low in zip((axes.xaxis, axes.yaxis), lowest, strict=True):
        ticks = [tick for tick in _DET_TICKS if tick >= low / 2]
        axis.set_ticks(probit(ticks), [f"{tick:g}" for tick in ticks])
    axes.set_xlim(*probit([lowest[0] / 2, 0.9]))
    axes.set_ylim(*probit([lowest[1] / 2, 0.9]))
    diagonal = probit([max(lowest) / 2, 0.9])
    axes.plot(diagonal, diagonal, color="0.6", linewidth=0.8, label="FMR = FNMR")
    _legend(figure)
    return figure


def ced(
    errors: Mapping[str, Sequence[float] | NDArray[np.float64]],
    *,
    limit: float = 0.1,
    title: str = "",
    length: str = "the distance of the outer eye corners",
) -> Figure:
    """Draw cumulative error distributions of landmarks; one curve per system.

    Parameters
    ----------
    errors
        (N,) NME of every face as a fraction, by system; inf where no face was found.
    limit
        Right end of the error axis.
    length
        What errors are divided by.
    """
    figure, axes = _figure(f"NME, % of {length}", "Share of faces", title)
    for (name, values), style in zip(_some(errors), _styles(), strict=False):
        ends = np.sort(np.asarray(values, np.float64))
        share = np.arange(1, len(ends) + 1) / len(ends)
        shown = ends <= limit
        x = np.concatenate([[0], ends[shown], [limit]])
        y = np.concatenate([[0], share[shown], [shown.mean()]])
        axes.step(100 * x, y, where="post", label=f"{name} ({len(ends):,} faces)", **style)
    axes.set_xlim(0, 100 * limit)
    axes.set_ylim(0, 1.005)
    _legend(figure)
    return figure


def cmc(curves: Mapping[str, Sequence[tuple[int, Estimate]]], *, title: str = "") -> Figure:
    """Draw identification rate over rank with its intervals; one curve per system."""
    figure, axes = _figure("Rank", "Identification rate", title)
    for (name, points), style in zip(_some(curves), _styles(), strict=False):
        ranks = [rank for rank, _ in points]
        low, value, high = (
            [getattr(estimate, end) for _, estimate in points] for end in ("low", "value", "high")
        )
        label = f"{name} (n={points[0][1].n:,})"
        axes.plot(ranks, value, label=label, marker="o", markersize=3, **style)
        axes.fill_between(ranks, low, high, color=style["color"], alpha=0.15, linewidth=0)
    axes.locator_params(axis="x", integer=True)
    axes.set_ylim(top=1.005)
    _legend(figure)
    return figure


def histogram(
    comparisons: Comparisons, *, threshold: float | None = None, bins: int = 80, title: str = ""
) -> Figure:
    """Draw the distributions of genuine and impostor scores; failures (-inf) are left out."""
    figure, axes = _figure("Score (higher = more similar)", "Share of comparisons", title)
    sides = {"genuine": comparisons.genuine, "impostor": comparisons.impostor}
    finite = {name: scores[np.isfinite(scores)] for name, scores in sides.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(finite.values())), bins)
    for (name, scores), style in zip(finite.items(), _styles(), strict=False):
        share = np.histogram(scores, edges)[0] / len(sides[name])
        label = f"{name} (n={len(sides[name]):,})"
        axes.stairs(share, edges, fill=True, alpha=0.25, color=style["color"])
        axes.stairs(share, edges, label=label, **style)
    if threshold is not None and np.isfinite(threshold):
        label = f"threshold {threshold:.3f}"
        axes.axvline(threshold, color="0.2", linewidth=1, linestyle=":", label=label)
    axes.set_ylim(bottom=0)
    _legend(figure)
    return figure


def edc(curves: Mapping[str, Edc], *, title: str = "") -> Figure:
    """Draw FNMR over the discarded share of comparisons; one curve per quality measure."""
    figure, axes = _figure("Discarded share of comparisons", "False non-match rate", title)
    for (name, curve), style in zip(_some(curves), _styles(), strict=False):
        label = f"{name} (mean {curve.area.value:.4f}, n={curve.n:,})"
        axes.plot(curve.discarded, curve.fnmr, label=label, **style)
    axes.set_xlim(0, max(curve.discarded[-1] for curve in curves.values()))
    axes.set_ylim(bottom=0)
    _legend(figure)
    return figure


def reliability(curves: Mapping[str, Reliability], *, title: str = "") -> Figure:
    """Draw accuracy over confidence; the size of a point is its bin's share of the items."""
    figure, axes = _figure("Confidence", "Accuracy", title)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, label="calibrated")
    for (name, curve), style in zip(_some(curves), _styles(), strict=False):
        label = f"{name} (ECE {curve.ece.value:.3f}, n={curve.ece.n:,})"
        sizes = 4 + 120 * curve.count / curve.count.sum()
        axes.plot(curve.confidence, curve.accuracy, label=label, **style)
        axes.scatter(curve.confidence, curve.accuracy, sizes, color=style["color"], zorder=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    _legend(figure)
    return figure


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG, SVG or PDF, by the suffix of the path.

    Raises
    ------
    ConfigError
        If the suffix is another, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a figure is written as one of {', '.join(FORMATS)}")
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        figure.savefig(path, dpi=150, metadata=metadata[path.suffix.lower()])
    except OSError as error:
        raise ConfigError(f"{path}: the figure cannot be written: {error}") from error
    return path


def _figure(x: str, y: str, title: str) -> tuple[Figure, Axes]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("figures need matplotlib: pip install 'vultus[plots]'") from error
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title, fontsize="medium", loc="left")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _styles() -> Iterator[dict[str, Any]]:
    """Yield styles that differ in colour first, then in dashes too."""
    for dashes in _DASHES:
        for colour in COLOURS:
            yield {"color": colour, "linestyle": dashes, "linewidth": 1.6}


def _some(curves: Mapping[str, Any]) -> list[tuple[str, Any]]:
    limit = len(COLOURS) * len(_DASHES)
    if not 0 < len(curves) <= limit:
        raise MeasureError(f"a figure shows 1 to {limit} curves, got {len(curves)}")
    return list(curves.items())


def _legend(figure: Figure) -> None:
    # Below the axes, where it hides no curve.
    figure.legend(loc="outside lower left", frameon=False, fontsize="small")


def _lowest(curves: Iterable[Roc]) -> float:
    return min(1 / curve.n_impostor for curve in curves)


def _pairs(curve: Roc) -> str:
    return f"{curve.n_genuine:,} genuine, {curve.n_impostor:,} impostor"
