"""Labels from a teacher: the Open Model Zoo's age and gender network (Apache-2.0)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]

#: Side of the teacher's input.
SIDE = 62
#: Parts of the crop's side that are cut off around the face before the teacher looks at it. Its
#: answers are averaged over these and over mirroring.
INSETS = (0.0, 0.05)


def age_and_sex(images: UInt8, model: Path | str, batch: int = 256) -> tuple[Float, Float]:
    """Return the ages in years and the probabilities of being male, float32 (N,) each.

    Parameters
    ----------
    images
        uint8 RGB (N, S, S, 3), aligned to ``dlib150`` or a scaled copy of it.
    model
        ``age-gender-recognition-retail-0013.xml``, its ``.bin`` beside it.

    Raises
    ------
    ConfigError
        If the file cannot be read or OpenVINO is not installed.
    """
    try:
        import openvino as ov

        core = ov.Core()
        network = core.read_model(str(model))
        network.reshape({network.inputs[0]: [-1, 3, SIDE, SIDE]})
        compiled = core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": 1})
    except ImportError as error:
        raise ConfigError(
            "the teacher needs the openvino package: pip install 'vultus[openvino]'"
        ) from error
    except RuntimeError as error:
        raise ConfigError(f"{model}: not a network that openvino reads: {error}") from error
    ages, males = np.zeros(len(images), np.float32), np.zeros(len(images), np.float32)
    for start in range(0, len(images), batch):
        rows = slice(start, start + batch)
        views = [view for inset in INSETS for view in _views(images[rows], inset)]
        for view in views:
            found = {key.any_name: value for key, value in compiled(view).items()}
            # The network gives hundreds of years, and the classes female and male.
            ages[rows] += 100 * found["age_conv3"].reshape(-1) / len(views)
            males[rows] += found["prob"].reshape(-1, 2)[:, 1] / len(views)
    return ages, males


def _views(images: UInt8, inset: float) -> list[Float]:
    cut = round(inset * images.shape[1])
    inner = images[:, cut : images.shape[1] - cut, cut : images.shape[1] - cut, ::-1]
    small = np.stack(
        [cv2.resize(i, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for i in inner]
    ).astype(np.float32)
    return [np.ascontiguousarray(view.transpose(0, 3, 1, 2)) for view in (small, small[:, :, ::-1])]
