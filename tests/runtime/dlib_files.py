"""Writes small files in dlib's formats, for tests of their readers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def integer(value: int) -> bytes:
    size = max((abs(value).bit_length() + 7) // 8, 1)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def number(value: float) -> bytes:
    mantissa, exponent = math.frexp(float(np.float32(value)))
    return integer(int(mantissa * 2**24)) + integer(exponent - 24)


def string(text: str) -> bytes:
    return integer(len(text)) + text.encode()


def tensor(array: np.ndarray) -> bytes:
    array = np.asarray(array, "<f4")
    shape = (1,) * (4 - array.ndim) + array.shape if array.size else (0, 0, 0, 0)
    return integer(2) + b"".join(map(integer, shape)) + array.tobytes()


def alias(*shape: int) -> bytes:
    return integer(1) + b"".join(map(integer, shape))


RATES = number(1) * 4
EMPTY = tensor(np.zeros(0))
TRAINING_STATE = b"000" + EMPTY * 3


def con(filters: np.ndarray, biases: np.ndarray, stride: int, pad: int) -> bytes:
    out, inp, rows, columns = filters.shape
    body = string("con_4") + tensor(np.concatenate([filters.ravel(), biases])[:, None, None, None])
    body += b"".join(map(integer, (out, rows, columns, stride, stride, pad, pad)))
    return body + alias(out, inp, rows, columns) + alias(1, out, 1, 1) + RATES


def affine(gamma: np.ndarray, beta: np.ndarray) -> bytes:
    params = tensor(np.concatenate([gamma, beta]))
    shapes = alias(1, len(gamma), 1, 1) + alias(1, len(beta), 1, 1)
    return string("affine_") + params + shapes + integer(0)


def pool(kind: str, window: int, stride: int) -> bytes:
    settings = (window, window, stride, stride, 0, 0)
    return string(f"{kind}_pool_2") + b"".join(map(integer, settings))


def fc(weights: np.ndarray) -> bytes:
    inputs, outputs = weights.shape
    body = string("fc_2") + integer(outputs) + integer(inputs) + tensor(weights[:, :, None, None])
    return body + alias(inputs, outputs, 1, 1) + alias(0, 0, 0, 0) + integer(1) + RATES


RELU = string("relu_")
ADD_PREV = string("add_prev_")

#: A tag or skip: nothing of it is stored but its version.
WRAPPER = b""


def network(rows: int, columns: int, means: Sequence[float], layers: Sequence[bytes]) -> bytes:
    """Nest layers, given in order of computation, into a metric network's file."""
    versions = [1 if layer == WRAPPER else 2 for layer in layers]
    versions[0] = 3
    out = integer(1) + string("loss_metric_2") + number(0.04) + number(0.6)
    out += b"".join(integer(v) for v in reversed(versions))
    out += string("input_rgb_image_sized") + b"".join(map(number, means))
    out += integer(rows) + integer(columns)
    for layer, version in zip(layers, versions, strict=True):
        if version == 1:
            continue
        out += layer + TRAINING_STATE + (integer(1) if version == 3 else b"")
    return out


def shape_predictor(
    initial: np.ndarray,
    splits: np.ndarray,
    thresholds: np.ndarray,
    leaves: np.ndarray,
    anchors: np.ndarray,
    offsets: np.ndarray,
) -> bytes:
    """Write a landmark predictor's file from the arrays of ``ShapePredictor``."""

    def matrix(values: np.ndarray) -> bytes:
        column = values.ravel()
        return integer(-len(column)) + integer(-1) + b"".join(map(number, column))

    out = integer(1) + matrix(initial) + integer(len(splits))
    for cascade, forest in enumerate(splits):
        out += integer(len(forest))
        for tree, nodes in enumerate(forest):
            out += integer(len(nodes))
            for (first, second), threshold in zip(nodes, thresholds[cascade, tree], strict=True):
                out += integer(int(first)) + integer(int(second)) + number(threshold)
            out += integer(len(nodes) + 1)
            out += b"".join(matrix(leaf) for leaf in leaves[cascade, tree])
    out += integer(len(anchors))
    for row in anchors:
        out += integer(len(row)) + b"".join(integer(int(i)) for i in row)
    out += integer(len(offsets))
    for row in offsets:
        out += integer(len(row)) + b"".join(number(x) + number(y) for x, y in row)
    return out
