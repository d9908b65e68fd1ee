"""Small copies of pictures inside a page, for browsers that run no script of ours."""

from __future__ import annotations

import base64
import io

from vultus.images import Limits, open_image

_SIDES = (960, 800, 640, 480, 320)


def preview(data: bytes, limits: Limits, most: int) -> str:
    """Return a picture, upright and made smaller, as a ``data:`` address of at most ``most`` bytes.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    from PIL import Image

    picture = Image.fromarray(open_image(data, limits=limits))
    address = ""
    for side in _SIDES:
        picture.thumbnail((side, side))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=80)
        address = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
        if len(address) <= most:
            break
    return address
