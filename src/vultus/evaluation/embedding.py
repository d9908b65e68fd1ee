"""Templates of a whole data set, with failures to acquire kept in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vultus.analysis import Analysis, Analyzer, Subject
from vultus.errors import DatasetError
from vultus.measure import Estimate
from vultus.measure.intervals import proportion

Progress = Callable[[Analysis], None]


@dataclass(frozen=True, eq=False)
class Embedded:
    """Templates of N pictures.

    Parameters
    ----------
    paths
        The pictures, in the order given.
    vectors
        float32 (N, D) of unit length; zero where no face was found.
    found
        bool (N,).
    reasons
        Why a picture gave no template, by its path.
    """

    paths: tuple[Path, ...]
    vectors: NDArray[np.float32]
    found: NDArray[np.bool_]
    reasons: dict[Path, str]

    def failure_to_acquire(self) -> Estimate:
        """Return the share of pictures that gave no template (FTA, ISO/IEC 19795-1)."""
        return proportion(int((~self.found).sum()), len(self.found))

    def similarity(self, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return cosines (P,) of pairs of rows; -inf where either picture gave no template."""
        scores: NDArray[np.float32] = (self.vectors[first] * self.vectors[second]).sum(1)
        scores[~(self.found[first] & self.found[second])] = -np.inf
        return scores


def embed_all(
    paths: Sequence[Path],
    analyzer: Analyzer,
    *,
    subject: Subject = "central",
    progress: Progress | None = None,
) -> Embedded:
    """Compute the template of each picture's subject.

    Raises
    ------
    DatasetError
        If there are no pictures, or no face in any of them.
    """
    vectors = np.zeros((len(paths), analyzer.embedder.dim), np.float32)
    found = np.zeros(len(paths), np.bool_)
    reasons: dict[Path, str] = {}
    for i, result in enumerate(analyzer.stream(paths, subject=subject)):
        if result.error is not None:
            reasons[paths[i]] = result.error
        else:
            vectors[i] = result.faces[0].embedding.vector
            found[i] = True
        if progress:
            progress(result)
    if not found.any():
        where = paths[0].parent if paths else "the data set"
        raise DatasetError(f"{where}: no face was found in any of {len(paths)} pictures")
    return Embedded(tuple(paths), vectors, found, reasons)
