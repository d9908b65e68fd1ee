"""Finding faces: boxes, scores and five keypoints."""

from vultus.detection.predictor import DETECTORS, Detector
from vultus.detection.subject import central, largest

__all__ = ["DETECTORS", "Detector", "central", "largest"]
