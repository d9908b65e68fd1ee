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
from numpy.typing import NDArray

from vultus.errors import ConfigError


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
    genuine: NDArray[np.float32],
    impostor: NDArray[np.float32],
    *,
    points: int = 120,
    min_errors: int = 10,
    **facts: Any,
) -> Calibration:
    """Measure the error rates of a grid of thresholds.

    Parameters
    ----------
    genuine, impostor
        Cosine similarities (G,) and (I,) of comparisons of the same and of different people.
    points
        How many thresholds are stored, evenly spaced in log FMR.
    min_errors
        The strictest stored FMR rests on at least this many false matches, so that its relative
        error stays bounded.
    facts
        The remaining fields of :class:`Calibration`.

    Raises
    ------
    ConfigError
        If there are too few comparisons.
    """
    if len(genuine) < 2 or len(impostor) < 10 * min_errors:
        raise ConfigError(
            f"too few comparisons to calibrate: {len(genuine)} genuine, {len(impostor)} impostor"
        )
    descending = np.sort(np.asarray(impostor, np.float32))[::-1]
    errors = np.unique(
        np.geomspace(min_errors, len(descending) * 0.5, points).round().astype(np.int64)
    )[::-1]
    # Accept at or above the threshold: the k-th highest impostor lets exactly k impostors in.
    thresholds = np.unique(np.round(descending[errors - 1].astype(np.float64), 6))
    ascending = descending[::-1]
    fmr = 1 - np.searchsorted(ascending, thresholds, side="left") / len(ascending)
    fnmr = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    return Calibration(
        n_genuine=len(genuine),
        n_impostor=len(impostor),
        thresholds=tuple(float(t) for t in thresholds),
        fmr=tuple(float(f"{v:.4g}") for v in fmr),
        fnmr=tuple(float(f"{v:.4g}") for v in fnmr),
        **facts,
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
