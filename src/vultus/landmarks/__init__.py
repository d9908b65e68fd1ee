"""68 points on a face."""

from vultus.landmarks.predictor import DEFAULT, LandmarkPredictor, keypoints_from_boxes

__all__ = ["DEFAULT", "LandmarkPredictor", "keypoints_from_boxes"]
