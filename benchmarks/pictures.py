"""Opening JPEG files beside OpenCV and PIL, and how far to reduce a picture before a warp.

Opening: median milliseconds, the three taking turns on the same bytes, each ending in RGB pixels
with the EXIF orientation applied. The pictures are scikit-image's portrait (public domain) at the
size of LFW, and enlarged to 12 megapixels with noise.

Warp: root mean square error in grey levels of 112-pixel crops, turned by 17 degrees, against an
8x8 supersampled reference; ``residual`` is what is left to interpolation after area averaging,
in picture pixels per crop pixel, and "none" is no averaging at all.

    OMP_NUM_THREADS=1 python benchmarks/pictures.py [--repeat N] [--json FILE]
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps
from skimage import data

from machine import describe_machine
from vultus.geometry import _reduced
from vultus.images import open_image

Picture = np.ndarray[Any, np.dtype[np.uint8]]

REDUCTIONS = (1.2, 1.5, 1.9, 2.5, 3.9, 7.9)
RESIDUALS = (1.0, 1.25, 2**0.5, 1.6, 2.0)
SIZE = 112


def portraits() -> dict[str, bytes]:
    """Return encoded pictures by name."""
    portrait = data.astronaut()
    small = cv2.resize(portrait, (250, 250), interpolation=cv2.INTER_AREA)
    large = cv2.resize(portrait, (4000, 3000), interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 4, large.shape)
    large = np.clip(large + noise, 0, 255).astype(np.uint8)
    turned = Image.Exif()
    turned[274] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {
        "250x250": encode(small),
        "250x250, sRGB profile": encode(small, icc_profile=profile),
        "12 MP": encode(large),
        "12 MP, turned": encode(large, exif=turned),
        "12 MP, progressive": encode(large, progressive=True),
    }


def encode(picture: Picture, **options: Any) -> bytes:
    """Return a JPEG file of quality 90."""
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def by_opencv(encoded: bytes) -> Picture:
    """Decode as OpenCV does."""
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB)


def by_pil(encoded: bytes) -> Picture:
    """Decode as PIL's manual does."""
    return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))


def time_opening(repeat: int) -> dict[str, dict[str, float]]:
    """Return median milliseconds by picture and way, and the ratio to OpenCV."""
    ways: dict[str, Callable[[bytes], Picture]] = {
        "vultus": open_image,
        "opencv": by_opencv,
        "pil": by_pil,
    }
    table = {}
    for name, encoded in portraits().items():
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repeat * (20 if len(encoded) < 10**5 else 1)):
            for way, decode in ways.items():
                start = time.perf_counter()
                decode(encoded)
                seconds[way].append(time.perf_counter() - start)
        row = {way: 1000 * statistics.median(times) for way, times in seconds.items()}
        difference = open_image(encoded).astype(int) - by_opencv(encoded)
        table[name] = row | {
            "times_opencv": row["vultus"] / row["opencv"],
            "max_difference": float(np.abs(difference).max()),
        }
    return table


def warp_errors() -> dict[str, dict[str, float]]:
    """Return the error by reduction and residual."""
    rng = np.random.default_rng(0)
    picture = cv2.resize(data.astronaut(), (2048, 2048), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(picture + rng.normal(0, 25, picture.shape), 0, 255).astype(np.uint8)
    table = {}
    for reduction in REDUCTIONS:
        angle = np.radians(17)
        turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
        linear = turn / reduction
        offset = np.full(2, (SIZE - 1) / 2) - linear @ (900.3, 500.4)
        affine = np.column_stack([linear, offset])
        exact = supersampled(picture, affine)
        table[f"{reduction:g}"] = {
            name: error(picture, affine, reduction / residual, exact)
            for name, residual in [("none", np.inf), *((f"{r:.2f}", r) for r in RESIDUALS)]
        }
    return table


def error(picture: Picture, affine: np.ndarray, ratio: float, exact: np.ndarray) -> float:
    """Return the root mean square difference of a crop to the reference."""
    part, local = _reduced(picture, affine, SIZE, ratio)
    crop = cv2.warpAffine(part, local, (SIZE, SIZE))
    return float(np.sqrt(np.mean((crop - exact) ** 2)))


def supersampled(picture: Picture, affine: np.ndarray, samples: int = 8) -> np.ndarray:
    """Return a float crop whose pixels are means of samples x samples interpolated values."""
    steps = (np.arange(SIZE * samples) + 0.5) / samples - 0.5
    crop = np.stack(np.meshgrid(steps, steps), -1)
    places = ((crop - affine[:, 2]) @ np.linalg.inv(affine[:, :2]).T).astype(np.float32)
    fine = cv2.remap(picture.astype(np.float32), places, None, cv2.INTER_LINEAR)
    return cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    opening, warps = time_opening(arguments.repeat), warp_errors()
    for title, table in (("opening, ms", opening), ("warp error by residual", warps)):
        columns = list(next(iter(table.values())))
        print(f"{title:24}" + "".join(f"{column:>15}" for column in columns))
        for name, row in table.items():
            print(f"{name:24}" + "".join(f"{row[column]:15.2f}" for column in columns))
        print()
    if arguments.json:
        report = {
            "command": "OMP_NUM_THREADS=1 python benchmarks/pictures.py",
            "machine": describe_machine(),
            "repeat": arguments.repeat,
            "opening": opening,
            "warp": warps,
        }
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
