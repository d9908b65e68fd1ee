"""Figures: what they say, what files they make, and what they leave alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from vultus.errors import ConfigError, MeasureError
from vultus.measure import plots
from vultus.measure.classification import reliability
from vultus.measure.identification import Searches, cmc
from vultus.measure.quality import error_versus_discard
from vultus.measure.verification import Comparisons, roc


@pytest.fixture
def comparisons(rng: np.random.Generator) -> Comparisons:
    return Comparisons(rng.normal(2, 1, 500), rng.normal(0, 1, 4000))


def legend(figure: object) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]  # type: ignore[attr-defined]


def test_roc_draws_the_curve_on_its_axes_with_n(comparisons: Comparisons) -> None:
    curve = roc(comparisons)
    figure = plots.roc({"net": curve}, title="a set")
    axes = figure.axes[0]
    assert legend(figure) == ["net (500 genuine, 4,000 impostor)"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("False match rate", "True accept rate")
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] == 1 / 4000
    drawn = set(zip(*axes.lines[0].get_data(), strict=True))
    assert drawn <= set(zip(curve.fmr, curve.tar, strict=True))
    assert len(drawn) > 300


def test_det_of_two_normals_is_a_straight_line_on_probit_axes() -> None:
    rng = np.random.default_rng(0)
    curve = roc(Comparisons(rng.normal(2, 1, 50_000), rng.normal(0, 1, 50_000)))
    figure = plots.det({"net": curve})
    x, y = (np.array(v) for v in figure.axes[0].lines[0].get_data())
    middle = (np.abs(x) < 2.5) & (np.abs(y) < 2.5)
    assert y[middle] == pytest.approx(-x[middle] - 2, abs=0.1)
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels[:3] == ["1e-05", "0.0001", "0.001"]


def test_cmc_shows_ranks_and_intervals() -> None:
    rng = np.random.default_rng(1)
    people = rng.integers(0, 20, 200)
    scores = rng.normal(size=(200, 20))
    scores[np.arange(200), people] += 2
    points = cmc(Searches.from_scores(scores, people, np.arange(20)))
    figure = plots.cmc({"net": points})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [e.value for _, e in points]
    assert len(figure.axes[0].collections) == 1
    assert legend(figure) == ["net (n=200)"]


def test_histogram_shares_sum_to_one_but_for_failures(comparisons: Comparisons) -> None:
    failed = Comparisons(np.append(comparisons.genuine, [-np.inf] * 500), comparisons.impostor)
    figure = plots.histogram(failed, threshold=1.2)
    shares = [patch.get_data().values.sum() for patch in figure.axes[0].patches]
    assert shares == pytest.approx([0.5, 0.5, 1, 1])
    assert legend(figure) == ["genuine (n=1,000)", "impostor (n=4,000)", "threshold 1.200"]


def test_curves_differ_in_more_than_colour(comparisons: Comparisons) -> None:
    figure = plots.roc({str(i): roc(comparisons) for i in range(15)})
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(styles) == 15
    with pytest.raises(MeasureError, match="curves"):
        plots.roc({})


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_suffix_chooses_the_format(
    tmp_path: Path, comparisons: Comparisons, suffix: str, start: bytes
) -> None:
    path = plots.save(plots.det({"net": roc(comparisons)}), tmp_path / f"det{suffix}")
    assert path.read_bytes().startswith(start)


def test_other_formats_and_missing_folders_are_refused(
    tmp_path: Path, comparisons: Comparisons
) -> None:
    figure = plots.histogram(comparisons)
    with pytest.raises(ConfigError, match=r"\.png, \.svg"):
        plots.save(figure, tmp_path / "x.bmp")
    with pytest.raises(ConfigError, match="cannot be written"):
        plots.save(figure, tmp_path / "none" / "x.png")


def test_threads_draw_at_once(tmp_path: Path, comparisons: Comparisons) -> None:
    curve = roc(comparisons)

    def draw(name: str) -> None:
        plots.save(plots.roc({name: curve}), tmp_path / f"{name}.png")

    threads = [threading.Thread(target=draw, args=(f"t{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 4


def test_neither_import_nor_drawing_touches_pyplot() -> None:
    code = (
        "import sys, vultus.measure.plots as p\n"
        "from vultus.measure.verification import Comparisons, roc\n"
        "assert 'matplotlib' not in sys.modules\n"
        "p.roc({'a': roc(Comparisons([1.0, 2.0], [0.0, 1.5]))})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_edc_and_reliability_say_their_figures(rng: np.random.Generator) -> None:
    quality = rng.uniform(size=300)
    curve = error_versus_discard(quality + 0.2 * rng.normal(size=300), quality, 0.3)
    figure = plots.edc({"sharpness": curve})
    assert figure.axes[0].lines[0].get_ydata() == pytest.approx(curve.fnmr)
    assert legend(figure) == [f"sharpness (mean {curve.area.value:.4f}, n=300)"]
    calibration = reliability(rng.uniform(size=300) < quality, quality)
    figure = plots.reliability({"net": calibration})
    assert legend(figure)[1] == f"net (ECE {calibration.ece.value:.3f}, n=300)"
