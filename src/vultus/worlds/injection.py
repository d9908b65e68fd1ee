"""Digital injections: pictures that never were before the sensor.

All work on any face picture with 68 points, rendered or photographed.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.capture import compressed
from vultus.worlds.noise import value_noise

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

#: Points whose hull a swap replaces: brows and jaw.
_HULL = (*range(17), *range(26, 16, -1))
_ANCHORS = (36, 39, 42, 45, 30, 31, 35, 48, 51, 54, 57, 8, 4, 12)


def swap(
    target: UInt8Array, target_points: FloatArray, source: UInt8Array, source_points: FloatArray
) -> UInt8Array:
    """Put the inner face of one picture into another.

    The source is warped with an affine map fitted to landmarks, its mean and contrast are matched
    to the target's inside the hull of brows and jaw, and the edge is feathered.

    Parameters
    ----------
    target, source
        uint8 (H, W, 3) and (H', W', 3).
    target_points, source_points
        float32 (68, 2).

    Returns
    -------
    uint8 (H, W, 3).
    """
    anchors = list(_ANCHORS)
    affine, _ = cv2.estimateAffine2D(
        np.asarray(source_points[anchors], np.float32),
        np.asarray(target_points[anchors], np.float32),
        method=cv2.LMEDS,
    )
    size = (target.shape[1], target.shape[0])
    moved = cv2.warpAffine(
        source, affine, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    mask = np.zeros(target.shape[:2], np.uint8)
    hull = cv2.convexHull(np.round(target_points[list(_HULL)]).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 255)
    reach = float(np.linalg.norm(target_points[45] - target_points[36]))
    shrink = max(int(0.10 * reach), 1)
    inner = cv2.erode(mask, np.ones((2 * shrink + 1, 2 * shrink + 1), np.uint8))
    inside = inner > 0
    if not inside.any():
        return target.copy()
    face, base = moved.astype(np.float32), target.astype(np.float32)
    for channel in range(3):
        a, b = face[..., channel][inside], base[..., channel][inside]
        gain = np.clip(b.std() / max(a.std(), 1.0), 0.6, 1.6)
        face[..., channel] = (face[..., channel] - a.mean()) * gain + b.mean()
    alpha = cv2.GaussianBlur(inner.astype(np.float32) / 255, (0, 0), max(0.09 * reach, 0.8))[
        ..., None
    ]
    return np.clip(np.round(base + (face - base) * alpha), 0, 255).astype(np.uint8)


def resynthesised(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return a picture as if a convolutional decoder had drawn it.

    The picture is cleaned of noise, reduced, and enlarged by zero insertion with learned-looking,
    slightly unequal kernels, which leaves the periodic trace in the spectrum that transposed
    convolutions leave (Odena et al. 2016).
    """
    clean = cv2.bilateralFilter(picture, 5, 18, 3).astype(np.float32)
    height, width = clean.shape[:2]
    half = cv2.resize(clean, ((width + 1) // 2, (height + 1) // 2), interpolation=cv2.INTER_AREA)
    spread = np.zeros((2 * half.shape[0], 2 * half.shape[1], 3), np.float32)
    spread[::2, ::2] = half
    kernel = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]).astype(np.float32)
    kernel *= 1 + 0.035 * rng.standard_normal(kernel.shape).astype(np.float32)
    drawn = cv2.filter2D(spread, -1, kernel)[:height, :width]
    detail = clean - cv2.GaussianBlur(clean, (0, 0), 1.2)
    return np.clip(np.round(drawn + 0.7 * detail), 0, 255).astype(np.uint8)


def adversarial(
    picture: UInt8Array,
    rng: np.random.Generator,
    *,
    epsilon: float = 4.0,
    gradient: Callable[[FloatArray], FloatArray] | None = None,
    steps: int = 10,
) -> UInt8Array:
    """Add a perturbation that no channel of no pixel exceeds.

    Parameters
    ----------
    picture
        uint8 (H, W, 3).
    rng
        Source of the random start, or of the pattern.
    epsilon
        Largest change, in grey levels of 255.
    gradient
        Takes float32 (H, W, 3) in [0, 255] and returns the gradient of what the attacker raises,
        for example a detector's score of liveness. Projected gradient ascent (Madry et al. 2018)
        with steps of epsilon / 4. Without one, a seeded pattern of signs in blocks, the kind
        that black-box attacks search among (Andriushchenko et al. 2020).
    steps
        Ascent steps.

    Raises
    ------
    ConfigError
        If epsilon is not positive.
    """
    if epsilon <= 0:
        raise ConfigError(f"epsilon must be positive, got {epsilon}")
    base = picture.astype(np.float32)
    if gradient is None:
        height, width = base.shape[:2]
        cells = (height / 4, width / 4)
        signs = np.stack([np.sign(value_noise(rng, (height, width), cells)) for _ in range(3)], 2)
        moved = base + np.floor(epsilon) * signs
    else:
        moved = base + rng.uniform(-epsilon, epsilon, base.shape).astype(np.float32)
        for _ in range(steps):
            moved = moved + epsilon / 4 * np.sign(gradient(moved))
            moved = np.clip(np.clip(moved, base - epsilon, base + epsilon), 0, 255)
        # Rounding must not leave the ball.
        moved = base + np.fix(moved - base)
    return np.asarray(np.clip(moved, 0, 255), np.uint8)


def replayed(picture: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Return an authentic recording once more compressed, as injected through a virtual camera."""
    return compressed(picture, int(rng.integers(80, 96)))
