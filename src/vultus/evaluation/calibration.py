"""Measuring what similarities mean, on development people."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vultus.analysis import Analyzer, Subject
from vultus.evaluation.embedding import Embedded, Progress, embed_all
from vultus.measure.allpairs import all_pairs
from vultus.recognition.calibration import Calibration, calibrate


def calibrate_people(
    people: Sequence[tuple[Path, str]],
    *,
    data: str,
    command: str,
    analyzer: Analyzer,
    subject: Subject = "central",
    progress: Progress | None = None,
) -> tuple[Calibration, Embedded]:
    """Measure the error rates of thresholds over every pair of pictures of some people.

    Parameters
    ----------
    people
        Pictures with the name of whom each shows; their subject is what ``subject`` chooses.
    data
        Name of the data, stored with the calibration.
    command
        The command that measures it again.

    Raises
    ------
    ConfigError, MeasureError
        If there are too few comparisons of the same or of different people.
    """
    embedded = embed_all([path for path, _ in people], analyzer, subject=subject, progress=progress)
    names = np.array([name for _, name in people])[embedded.found]
    measured = calibrate(
        all_pairs(embedded.vectors[embedded.found], names),
        space=analyzer.embedder.space,
        detector=analyzer.detector.name,
        data=data,
        command=command,
    )
    return measured, embedded
