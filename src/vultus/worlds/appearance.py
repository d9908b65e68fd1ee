"""What a person looks like apart from shape: pigments, age, marks, hair colour, make-up.

Skin colour follows a two-pigment absorption model in linear RGB: a pale dermis seen through
melanin, whose absorption rises steeply toward blue, and through haemoglobin, which absorbs green
and blue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError

FloatArray = NDArray[np.float32]

DERMIS = np.array([0.80, 0.67, 0.56], np.float32)
MELANIN = np.array([0.95, 1.27, 1.62], np.float32)
HAEMOGLOBIN = np.array([0.10, 0.80, 0.72], np.float32)

#: Linear reflectance of hair from black to fair, red and grey.
HAIR_COLOURS: dict[str, tuple[float, float, float]] = {
    "black": (0.012, 0.010, 0.009),
    "dark": (0.035, 0.022, 0.015),
    "brown": (0.085, 0.048, 0.026),
    "chestnut": (0.14, 0.062, 0.028),
    "fair": (0.36, 0.24, 0.12),
    "red": (0.26, 0.080, 0.024),
    "grey": (0.20, 0.195, 0.19),
    "white": (0.46, 0.45, 0.43),
}

IRIS_COLOURS: dict[str, tuple[float, float, float]] = {
    "dark": (0.045, 0.022, 0.010),
    "brown": (0.12, 0.055, 0.020),
    "hazel": (0.17, 0.11, 0.040),
    "green": (0.12, 0.16, 0.075),
    "grey": (0.22, 0.26, 0.28),
    "blue": (0.13, 0.22, 0.36),
}


@dataclass(frozen=True, slots=True)
class Makeup:
    """Make-up: lip colour (linear RGB) and cover, eye shadow colour and cover, liner, blush."""

    lips: tuple[float, float, float] = (0.45, 0.03, 0.06)
    lip_cover: float = 0.0
    shadow: tuple[float, float, float] = (0.25, 0.12, 0.14)
    shadow_cover: float = 0.0
    liner: float = 0.0
    blush: float = 0.0


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a person looks like apart from the shape of the head.

    Parameters
    ----------
    seed
        Fixes every random detail: blotches, marks, strands, iris fibres.
    melanin, haemoglobin
        Pigment densities: melanin from 0.05 (very fair) to 2.4 (very dark), haemoglobin from 0.1
        to 0.9.
    age
        Years, 16 to 90: lines, spots, slack skin under the eyes.
    freckles, moles
        Freckle density in [0, 1]; number of moles.
    blotches
        Contrast of uneven skin, 1 is average.
    asymmetry
        Contrast of the difference in pigment between the sides, 0 for none.
    gloss
        Factor on the highlight; 1 is average, 2 is oily.
    hair, iris
        Keys of :data:`HAIR_COLOURS` and :data:`IRIS_COLOURS`.
    brows, beard
        Thickness of the brows, 1 is average; beard from 0 (shaven) to 1 (full).
    lip_redness
        Haemoglobin added to the lips.
    clothes, frames
        Linear reflectance of shirt or hat, and of spectacle frames.
    makeup
        Worn make-up.
    """

    seed: int = 0
    melanin: float = 0.35
    haemoglobin: float = 0.40
    age: float = 30.0
    freckles: float = 0.0
    moles: int = 3
    blotches: float = 1.0
    asymmetry: float = 0.5
    gloss: float = 1.0
    hair: str = "brown"
    iris: str = "brown"
    brows: float = 1.0
    beard: float = 0.0
    lip_redness: float = 0.55
    clothes: tuple[float, float, float] = (0.12, 0.16, 0.24)
    frames: tuple[float, float, float] = (0.02, 0.02, 0.02)
    makeup: Makeup = Makeup()

    def __post_init__(self) -> None:
        for name, low, high in (
            ("melanin", 0.0, 4.0),
            ("haemoglobin", 0.0, 2.0),
            ("age", 10.0, 100.0),
            ("freckles", 0.0, 1.0),
            ("beard", 0.0, 1.0),
            ("brows", 0.2, 3.0),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"appearance {name} must lie in [{low}, {high}], got {getattr(self, name)}"
                )
        if self.hair not in HAIR_COLOURS or self.iris not in IRIS_COLOURS:
            raise ConfigError(
                f"unknown hair {self.hair!r} or iris {self.iris!r}; known: "
                f"{sorted(HAIR_COLOURS)}, {sorted(IRIS_COLOURS)}"
            )


def skin_colour(melanin: FloatArray | float, haemoglobin: FloatArray | float) -> FloatArray:
    """Return linear reflectance, float32 (..., 3), of skin with the given pigment densities."""
    m = np.asarray(melanin, np.float32)[..., None]
    h = np.asarray(haemoglobin, np.float32)[..., None]
    return np.asarray(0.010 + DERMIS * np.exp(-m * MELANIN - h * HAEMOGLOBIN), np.float32)


def sample_appearance(rng: np.random.Generator, seed: int) -> Appearance:
    """Draw a person's looks; fair hair and light eyes go with little melanin."""
    # Even over the visible range: the eye judges ratios of reflectance.
    melanin = float(0.06 + 2.1 * rng.beta(0.9, 1.15))
    age = float(np.clip(18 + 60 * rng.beta(1.3, 2.0), 16, 85))
    fair = melanin < 0.35
    hair_names = list(HAIR_COLOURS)[:6]
    odds = [0.12, 0.26, 0.28, 0.12, 0.15, 0.07] if fair else [0.62, 0.28, 0.08, 0.02, 0.0, 0.0]
    hair = str(rng.choice(hair_names, p=odds))
    if rng.random() < np.clip((age - 45) / 40, 0, 0.85):
        hair = "grey" if rng.random() < 0.65 else "white"
    iris_odds = [0.1, 0.25, 0.15, 0.12, 0.13, 0.25] if fair else [0.55, 0.38, 0.05, 0.02, 0, 0]
    return Appearance(
        seed=seed,
        melanin=melanin,
        haemoglobin=float(rng.uniform(0.15, 0.48)),
        age=age,
        freckles=float(rng.beta(0.5, 3.0)) if melanin < 0.6 else 0.0,
        moles=int(rng.poisson(2)),
        blotches=float(rng.uniform(0.6, 1.6)),
        asymmetry=float(rng.uniform(0.2, 1.0)),
        gloss=float(rng.uniform(0.5, 1.7)),
        hair=hair,
        iris=str(rng.choice(list(IRIS_COLOURS), p=iris_odds)),
        brows=float(np.clip(rng.normal(1.0, 0.25), 0.5, 1.7)),
        beard=float(
            rng.choice([0.0, rng.uniform(0.15, 0.5), rng.uniform(0.6, 1.0)], p=[0.66, 0.2, 0.14])
        ),
        lip_redness=float(rng.uniform(0.3, 0.8)),
        clothes=_fabric(rng),
        frames=_fabric(rng) if rng.random() < 0.3 else (0.02, 0.02, 0.02),
    )


def _fabric(rng: np.random.Generator) -> tuple[float, float, float]:
    base = rng.uniform(0.02, 0.6)
    r, g, b = (base * rng.uniform(0.4, 1.6, 3)).clip(0.01, 0.85).tolist()
    return r, g, b


def sample_makeup(rng: np.random.Generator) -> Makeup:
    """Draw worn make-up, from barely visible to strong."""
    hue = rng.uniform(0, 1)
    return Makeup(
        lips=(float(rng.uniform(0.22, 0.6)), float(0.02 + 0.12 * hue), float(0.04 + 0.14 * hue)),
        lip_cover=float(rng.uniform(0.2, 0.95)),
        shadow=(
            float(rng.uniform(0.05, 0.4)),
            float(rng.uniform(0.04, 0.3)),
            float(rng.uniform(0.05, 0.4)),
        ),
        shadow_cover=float(rng.uniform(0.0, 0.7)),
        liner=float(rng.uniform(0.2, 1.0)),
        blush=float(rng.uniform(0.0, 0.6)),
    )
