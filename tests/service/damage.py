"""Damaged and hostile requests, made from a number alone."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import Any

import numpy as np

COUNT = int(os.environ.get("VULTUS_FUZZ", "300"))
SEED = int(os.environ.get("VULTUS_FUZZ_SEED", "0"))
KINDS = ["image/jpeg", "image/png", "application/octet-stream", "multipart/form-data",
         "multipart/form-data; boundary=", "multipart/form-data; boundary=\"x", "text/plain", "",
         "image/jpeg; q=\x01", "multipart/mixed; boundary=x", "application/json"]  # fmt: skip
#: Every route that takes a picture, routes that take documents, and places that are none.
LOOKING = ["/v1/detect", "/v1/analyze", "/v1/embed", "/v1/verify", "/v1/cluster",
           "/v1/galleries/people/identify", "/v1/galleries/nobody/identify",
           "/api/v1/recognition/recognize", "/api/v1/verification/verify"]  # fmt: skip
CHANGING = ["/v1/galleries/people/faces", "/api/v1/recognition/faces", "/v1/galleries",
            "/v1/galleries/people/persons/merge", "/v1/galleries/people/persons/Ada"]  # fmt: skip
QUERIES = ["", "threshold=0.5", "threshold=1e999", "threshold=nan", "fpir=0", "fmr=1e-300",
           "subject=%00", "subject=only", "candidates=-1", "candidates=99999999999999999999",
           "person=%00", "person=%0a", "person=%ff", "min_score=-0", "threshold=0&threshold=1",
           "limit=-1", "det_prob_threshold=2", "%=%&&=", "a=" + "b" * 9000]  # fmt: skip
STEPS = ["/..", "/%2e%2e", "/%2f", "//", "/%00", ";x", "/.", "/%ff", "/" + "a" * 300, "\\", "?",
         "%0d%0ax:y", "/{name}", "/%25"]  # fmt: skip
HEADERS = {
    "host": ["evil.example", "", "127.0.0.1:x", "[::1", "127.0.0.1, evil.example"],
    "origin": ["null", "https://evil.example", "http://", "\xff"],
    "content-length": ["-1", "0", "1", "99999999999999999999", "1_0", "+5", "\xb2"],
    "content-encoding": ["gzip", "identity", "br, gzip", ""],
    "content-disposition": ["form-data; name=file", "attachment; filename*=utf-8''%00"],
    "x-request-id": ["a", "\x7f", "\xe9", "x" * 99, "../../etc/passwd"],
    "x-api-key": ["vk_0_0", "\xe9", "x" * 9000],
    "x-forwarded-for": ["1.2.3.4"],
    "x-http-method-override": ["DELETE"],
    "accept": ["*/*;q=\xff", "text/html"],
    "range": ["bytes=0-18446744073709551615"],
    "expect": ["something"],
    "cookie": ["a=" + "b" * 4000],
}
PIECES = [b"", b"\0", b"\r\n", b"\r\n\r\n", b"--x", b"--x--\r\n", b"\xff" * 9, b"filename=",
          b'name="file"', b"Content-Disposition", b"{}", b"://", b"\xff\xd8\xff", b"\xff\xdb",
          b"P6 9999999 9999999 255\n", b"Transfer-Encoding: chunked\r\n"]  # fmt: skip
LEAKS = re.compile(
    r"Traceback|File \"|/work/|/tmp/|/home/|/root|\.py\b|site-packages|gallery\.json"
)
STATUSES = {200, 202, 400, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429}


def request_of(
    number: int, looking: list[bytes], changing: list[bytes]
) -> tuple[str, str, dict[str, str], bytes]:
    """Return method, target, headers and body of a request.

    ``changing`` are pictures that show nobody: what may be enrolled must leave no trace.
    """
    rng = np.random.default_rng(number)
    pick = partial(_one_of, rng)
    change = rng.random() < 0.35
    path = pick(CHANGING if change else LOOKING)
    data = pick(changing if change else looking)
    kind = pick([*KINDS[:3], "multipart/form-data; boundary=x", pick(KINDS)])
    if kind.startswith("multipart"):
        names = ["file", "file", "first", "source_image", "person", "must_link", "url", ""]
        data = _form(data, pick(names), pick(["", 'filename="a.jpg"', "filename*=utf-8''%ff"]))
    if rng.random() < 0.15:
        at = int(rng.integers(1, len(path) + 1))
        path = path[:at] + pick(STEPS) + path[at:]
    headers = {"content-type": kind}
    for _ in range(int(rng.choice([0, 0, 1, 2]))):
        name = pick(list(HEADERS))
        headers[name] = pick(HEADERS[name])
    # No whole gallery and nobody: a DELETE of one would be no damage but a wish.
    method = pick(["POST"] * 40 + ["PUT", "PATCH", "HEAD", "OPTIONS", "TRACE", "x"])
    return method, f"{path}?{pick(QUERIES)}", headers, damaged(rng, data)


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """Return bytes with a few of them changed, cut out, doubled, or replaced by hostile pieces."""
    out = bytearray(data)
    for _ in range(int(rng.integers(0, 6))):
        at = int(rng.integers(0, len(out) + 1))
        length = int(rng.choice([0, 1, 1, 4, 64, 4096]))
        match int(rng.integers(0, 4)):
            case 0:
                out[at : at + length] = rng.bytes(length)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = PIECES[int(rng.integers(len(PIECES)))]
            case _:
                out[at:at] = out[at : at + length]
    return bytes(out)


def pictures(photo: bytes) -> tuple[list[bytes], list[bytes]]:
    """Return files of every kind, of a picture with a face and of one that shows nobody."""
    import cv2

    pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    kinds = (".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm")
    nobody = np.ascontiguousarray(pixels[-60:, -90:])
    somebody = pixels[20:200, 40:240]
    return tuple(
        [cv2.imencode(kind, image)[1].tobytes() for kind in kinds] for image in (somebody, nobody)
    )


def _form(picture: bytes, name: str, file: str) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; {file}\r\n\r\n'
    return head.encode() + picture + b"\r\n--x--\r\n"


def _one_of(rng: np.random.Generator, items: list) -> Any:
    return items[int(rng.integers(len(items)))]
