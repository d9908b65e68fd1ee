"""Is it a living face before the camera: presentation attack detection."""

from vultus.liveness.predictor import LivenessAnswer, LivenessPredictor, LivenessSpec
from vultus.liveness.scoring import clip_scores, frame_scores, uniform_frames

__all__ = [
    "LivenessAnswer",
    "LivenessPredictor",
    "LivenessSpec",
    "clip_scores",
    "frame_scores",
    "uniform_frames",
]
