"""What a similarity means: measured error rates of thresholds, per embedding space.

A calibration is measured once on development people (``vultus calibrate``) and stored beside the
package, so that every decision can name its threshold, its false match rate and the data on which
that rate was measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from vultus.errors import ConfigError
from vultus.measure.allpairs import AllPairs


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of one embedding space, with the error rates measured at them.

    Parameters
    ----------
    space
        Embedding space that the thresholds hold for.
    detector
        Detector whose keypoints aligned the faces.
    data
        On what it was measured.
    n_people, n_faces
        Size of that data.
    n_genuine, n_impostor
        Number of comparisons of the same and of different people.
    thresholds
        Cosine similarities, ascending.
    fmr
        False match rate at each threshold (ISO/IEC 19795-1), descending.
    fnmr
        False non-match rate at each threshold, ascending.
    command
        The command that measured it.
    """

    space: str
    detector: str
    data: str
    n_people: int
    n_faces: int
    n_genuine: int
    n_impostor: int
    thresholds: tuple[float, ...]
    fmr: tuple[float, ...]
    fnmr: tuple[float, ...]
    command: str

    def __post_init__(self) -> None:
        sizes = {len(self.thresholds), len(self.fmr), len(self.fnmr)}
        if len(sizes) != 1 or not self.thresholds:
            raise ConfigError(f"calibration of {self.space}: thresholds and rates differ in number")
        for name, sign in (("thresholds", 1), ("fmr", -1), ("fnmr", 1)):
            if (np.diff(getattr(self, name)) * sign < 0).any():
                raise ConfigError(f"calibration of {self.space}: {name} is not monotonic")

    @property
    def smallest_fmr(self) -> float:
        """The strictest false match rate that the data can support."""
        return self.fmr[-1]

    def threshold_at(self, fmr: float) -> float:
        """Return the lowest threshold whose measured false match rate is at most ``fmr``.

        Raises
        ------
        ConfigError
            If ``fmr`` is not in (0, 1) or lower than the data can support.
        """
        if not 0 < fmr < 1:
            raise ConfigError(f"a false match rate lies between 0 and 1, got {fmr}")
        if fmr < self.smallest_fmr:
            raise ConfigError(
                f"FMR {fmr:g} is below what {self.n_impostor} impostor comparisons of {self.data} "
                f"support; the strictest calibrated FMR is {self.smallest_fmr:.2g}"
            )
        return self.thresholds[int(np.argmax(np.array(self.fmr) <= fmr))]

    def fmr_at(self, threshold: float) -> float | None:
        """Return the measured false match rate at the nearest stored threshold that is not higher.

        It is thus never lower than the rate at the threshold asked for. None below the range.
        """
        i = int(np.searchsorted(self.thresholds, threshold, side="right")) - 1
        return self.fmr[i] if i >= 0 else None

    def fnmr_at(self, threshold: float) -> float:
        """Return the measured false non-match rate, linear between stored thresholds."""
        return float(np.interp(threshold, self.thresholds, self.fnmr))

    def fpir_at(self, threshold: float, enrolled: int) -> float | None:
        """Return the expected false positive identification rate among ``enrolled`` templates.

        1 - (1 - FMR)^N, which takes the N comparisons of a search as independent; templates of
        one person are not, so with several of them the true rate is lower.
        """
        fmr = self.fmr_at(threshold)
        return None if fmr is None else float(-np.expm1(enrolled * np.log1p(-fmr)))

    def threshold_at_fpir(self, fpir: float, enrolled: int) -> float:
        """Return the threshold at which a search among ``enrolled`` templates has this FPIR.

        Raises
        ------
        ConfigError
            If the calibration data cannot support so low a rate.
        """
        if not 0 < fpir < 1:
            raise ConfigError(
                f"a false positive identification rate lies between 0 and 1, got {fpir}"
            )
        return self.threshold_at(float(-np.expm1(np.log1p(-fpir) / max(enrolled, 1))))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Calibration:
        """Rebuild from :meth:`to_dict`; raise :class:`ConfigError` on wrong keys."""
        try:
            values = dict(data)
            for name in ("thresholds", "fmr", "fnmr"):
                values[name] = tuple(float(v) for v in values[name])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a calibration: {error}") from error


def calibrate(
    pairs: AllPairs,
    *,
    space: str,
    detector: str,
    data: str,
    command: str,
    points: int = 120,
    min_errors: int = 10,
) -> Calibration:
    """Measure the error rates of a grid of thresholds.

    Parameters
    ----------
    pairs
        All comparisons of a set of faces.
    space, detector, data, command
        Stored with the calibration.
    points
        How many thresholds are stored, evenly spaced in log FMR from 0.5 down.
    min_errors
        The strictest stored FMR rests on at least this many false matches, so that its relative
        error stays bounded.

    Raises
    ------
    ConfigError
        If there are too few comparisons.
    """
    if pairs.n_genuine < 2 or pairs.n_impostor < 10 * min_errors:
        raise ConfigError(
            f"too few comparisons to calibrate: {pairs.n_genuine} genuine, "
            f"{pairs.n_impostor} impostor"
        )
    rates = np.geomspace(0.5, min_errors / pairs.n_impostor, points)
    exact = [pairs.threshold_at_far(float(rate)) for rate in rates]
    # Rounded up, so that the rate asked for is kept.
    thresholds = np.unique(np.ceil(np.array(exact) * 1e6) / 1e6)
    return Calibration(
        space=space,
        detector=detector,
        data=data,
        n_people=len(np.unique(pairs.people)),
        n_faces=len(pairs.people),
        n_genuine=pairs.n_genuine,
        n_impostor=pairs.n_impostor,
        thresholds=tuple(float(t) for t in thresholds),
        fmr=tuple(float(f"{pairs.fmr(float(t)):.4g}") for t in thresholds),
        fnmr=tuple(float(f"{pairs.fnmr(float(t)):.4g}") for t in thresholds),
        command=command,
    )


def read_calibration(path: Path | str) -> Calibration:
    """Read a calibration file; raise :class:`ConfigError` naming the file."""
    try:
        return Calibration.from_dict(json.loads(Path(path).read_text()))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a calibration: {error}") from error


def find_calibration(space: str, detector: str) -> Calibration | None:
    """Return the packaged calibration of a space and detector, or None."""
    folder = resources.files("vultus.recognition") / "calibrations"
    for entry in folder.iterdir():
        if entry.name.endswith(".json"):
            data = json.loads(entry.read_text())
            if data.get("space") == space and data.get("detector") == detector:
                return Calibration.from_dict(data)
    return None
