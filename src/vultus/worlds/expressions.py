"""Expressions as blends of named weights that both heads know."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from vultus.errors import ConfigError
from vultus.worlds.heads import FloatArray, Head

#: Prototypes of basic emotions after the action units that make them (Ekman and Friesen, FACS).
EMOTIONS = MappingProxyType(
    {
        "neutral": {},
        "happiness": {
            "mouthSmile": 0.9,
            "cheekSquint": 0.7,
            "eyeSquint": 0.3,
            "mouthUpperUp": 0.25,
        },
        "sadness": {"browInnerUp": 0.9, "mouthFrown": 0.8, "eyeLookDown": 0.25, "eyeSquint": 0.15},
        "anger": {
            "browDown": 1.0,
            "eyeSquint": 0.45,
            "noseSneer": 0.35,
            "mouthPress": 0.8,
            "mouthFrown": 0.3,
        },
        "surprise": {"browInnerUp": 1.0, "browOuterUp": 1.0, "eyeWide": 0.9, "jawOpen": 0.65},
        "fear": {
            "browInnerUp": 1.0,
            "browOuterUp": 0.5,
            "browDown": 0.35,
            "eyeWide": 0.8,
            "mouthStretch": 0.8,
            "jawOpen": 0.25,
        },
        "disgust": {
            "noseSneer": 1.0,
            "browDown": 0.6,
            "mouthUpperUp": 0.65,
            "eyeSquint": 0.4,
            "mouthFrown": 0.3,
        },
        "contempt": {"mouthSmile_L": 0.45, "mouthDimple_L": 0.9, "mouthPress_L": 0.4},
    }
)


def sample_expression(
    head: Head, emotion: str, rng: np.random.Generator, *, spread: float = 0.12
) -> FloatArray:
    """Draw expression weights, float32 (E,), of an emotion.

    Parameters
    ----------
    head
        Whose expressions.
    emotion
        A key of :data:`EMOTIONS`, or ``random`` for a blend of few random expressions.
    rng
        Source of intensity and of individual variation.
    spread
        Deviation of each weight about its prototype.

    Raises
    ------
    ConfigError
        On an unknown emotion.
    """
    if emotion == "random":
        weights = np.zeros(len(head.expression_names), np.float32)
        chosen = rng.choice(len(weights), size=int(rng.integers(1, 6)), replace=False)
        weights[chosen] = rng.uniform(0.2, 0.9, len(chosen))
    elif emotion in EMOTIONS:
        weights = head.weights(EMOTIONS[emotion]) * np.float32(rng.uniform(0.7, 1.2))
        active = weights > 0
        weights = weights + active * rng.normal(0, spread, len(weights)).astype(np.float32)
        idle = rng.random(len(weights)) < 0.06
        weights = weights + idle * rng.uniform(0, spread, len(weights)).astype(np.float32)
    else:
        raise ConfigError(f"unknown emotion {emotion!r}; known: random, {', '.join(EMOTIONS)}")
    return _look(head, np.asarray(np.clip(weights, 0, 1), np.float32), rng)


def _look(head: Head, weights: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Turn both eyes the same random way, mostly ahead, and lower the lids a little at times."""
    right, up = rng.normal(0, 0.16, 2)
    turn = {
        "eyeLookOut_L": max(right, 0),
        "eyeLookIn_R": max(right, 0),
        "eyeLookIn_L": max(-right, 0),
        "eyeLookOut_R": max(-right, 0),
        "eyeLookUp_L": max(up, 0),
        "eyeLookUp_R": max(up, 0),
        "eyeLookDown_L": max(-up, 0),
        "eyeLookDown_R": max(-up, 0),
        "eyeBlink_L": 0.0,
        "eyeBlink_R": 0.0,
    }
    if rng.random() < 0.3:
        turn["eyeBlink_L"] = turn["eyeBlink_R"] = float(rng.uniform(0, 0.3))
    out = weights.copy()
    for i, name in enumerate(head.expression_names):
        out[i] = np.clip(out[i] + turn.get(name, 0.0), 0, 1)
    return out
