"""The trivial baseline of liveness detection: five hand features and logistic regression.

A learned detector that does not beat it has learned sharpness and noise. Report it beside every
result on simulated attacks.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from vultus.errors import ConfigError

FloatArray = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

CUES = ("sharpness", "saturation", "noise", "high_frequency", "brightness")


def cues(pictures: UInt8Array) -> FloatArray:
    """Return five features per picture.

    Parameters
    ----------
    pictures
        uint8 (N, H, W, 3).

    Returns
    -------
    float32 (N, 5) in the order of :data:`CUES`: log variance of the Laplacian; mean saturation;
    noise deviation (Immerkaer 1996); share of spectral energy above half the Nyquist frequency,
    log; mean luminance.

    Raises
    ------
    ConfigError
        If the shape is not (N, H, W, 3).
    """
    if pictures.ndim != 4 or pictures.shape[3] != 3:
        raise ConfigError(f"cues takes pictures of shape (N, H, W, 3), got {pictures.shape}")
    return np.array([_cues(p) for p in pictures], np.float32).reshape(-1, len(CUES))


def _cues(picture: UInt8Array) -> list[float]:
    colour = picture.astype(np.float32) / 255
    grey = colour @ np.array([0.299, 0.587, 0.114], np.float32)
    top, low = colour.max(2), colour.min(2)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    noise = np.sqrt(np.pi / 2) / 6 * float(np.abs(cv2.filter2D(grey, -1, mask)[1:-1, 1:-1]).mean())
    power = np.abs(np.fft.rfft2(grey - grey.mean())) ** 2
    fy, fx = np.fft.fftfreq(grey.shape[0])[:, None], np.fft.rfftfreq(grey.shape[1])[None]
    high = power[np.hypot(fx, fy) > 0.25].sum() / max(float(power.sum()), 1e-9)
    return [
        float(np.log(cv2.Laplacian(grey, cv2.CV_32F).var() + 1e-7)),
        float(((top - low) / np.maximum(top, 1e-3)).mean()),
        noise,
        float(np.log(high + 1e-7)),
        float(grey.mean()),
    ]


@dataclass(frozen=True, slots=True, eq=False)
class CueBaseline:
    """Logistic regression on :func:`cues`.

    Parameters
    ----------
    centre, scale
        float64 (5,) standardisation, from the training set.
    weights, bias
        float64 (5,) and the intercept, on standardised features.
    """

    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: float

    def score(self, pictures: UInt8Array) -> FloatArray:
        """Return the probability of bona fide, float32 (N,), for pictures uint8 (N, H, W, 3)."""
        features = (cues(pictures) - self.centre) / self.scale
        return (1 / (1 + np.exp(-(features @ self.weights + self.bias)))).astype(np.float32)


def fit_cues(
    pictures: UInt8Array, live: ArrayLike, *, ridge: float = 1e-2, steps: int = 50
) -> CueBaseline:
    """Fit the baseline by Newton's method, classes weighted equally.

    Parameters
    ----------
    pictures
        uint8 (N, H, W, 3).
    live
        bool (N,), True for bona fide; both must occur.
    ridge
        Penalty on the squared weights.
    steps
        Most Newton steps.

    Raises
    ------
    ConfigError
        If a class is missing, or the lengths differ.
    """
    truth = np.asarray(live, bool)
    if len(truth) != len(pictures) or truth.all() or not truth.any():
        raise ConfigError("the cue baseline needs bona fide and attack pictures, one label each")
    raw = cues(pictures).astype(np.float64)
    centre, scale = raw.mean(0), raw.std(0) + 1e-9
    x = np.concatenate([(raw - centre) / scale, np.ones((len(raw), 1))], 1)
    importance = np.where(truth, 0.5 / truth.sum(), 0.5 / (~truth).sum())
    penalty = ridge * np.diag([1.0] * len(CUES) + [1e-6])
    w = np.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -40, 40)))
        gradient = x.T @ (importance * (p - truth)) + penalty @ w
        hessian = (x * (importance * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        w -= step
        if np.abs(step).max() < 1e-9:
            break
    return CueBaseline(centre, scale, w[:-1], float(w[-1]))
