"""Protocols: what a detector and an embedder are worth on a data set, by its own rules."""

from vultus.evaluation.calibration import calibrate_people
from vultus.evaluation.folder import evaluate_folder
from vultus.evaluation.identification import evaluate_orl
from vultus.evaluation.lfw import evaluate_lfw
from vultus.evaluation.report import Report
from vultus.evaluation.scenes import evaluate_scenes

__all__ = [
    "Report",
    "calibrate_people",
    "evaluate_folder",
    "evaluate_lfw",
    "evaluate_orl",
    "evaluate_scenes",
]
