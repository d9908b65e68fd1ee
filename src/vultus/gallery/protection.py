"""Template protection: a secret rotation of the embedding space.

Each gallery keeps its templates multiplied by its own orthogonal matrix, drawn from the Haar
measure by a stream that only the key and the gallery's salt determine. The cosine of two
templates does not change, so search works on protected templates and loses no accuracy.

What this gives (the properties named by ISO/IEC 24745):

* *Irreversibility without the key*: one protected template is, to someone without the key, a
  uniformly random direction. It says nothing about the face.
* *Renewability*: a new key or salt gives new templates from the old ones, without photographs.
* *Unlinkability of single templates*: two templates of one person in two galleries are as similar
  as two random directions.

What it does not give:

* Whoever has the key, or reads the memory of a process that has it, has the plain templates.
* Whoever knows D or more linearly independent pairs of plain and protected templates recovers the
  matrix by least squares; fewer pairs give its action on their span. To be able to enrol chosen
  photographs and then read the folder is enough.
* Angles between the templates of one gallery are visible: who looks like whom, which rows are one
  person, how many people there are. Two galleries that share people can be matched by these
  patterns, and a large gallery can be aligned by its statistics with public embeddings of the
  same model.
* It is not encryption in the sense of a proof, and it does not cover names, sources, boxes and
  metadata, which lie in the gallery in plain text. Put the folder on an encrypted disk where
  these matter.
"""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vultus.gallery.keys import Key

FloatArray = NDArray[np.float32]


class Rotation:
    """The orthogonal matrix of one key, salt and dimension.

    The random bits come from SHAKE-256, keyed through HMAC-SHA256, and are the same everywhere.
    What follows is float64 arithmetic without a linear algebra library: two machines may differ
    where their mathematical libraries round a logarithm or cosine differently, by about 1e-15,
    which all but vanishes when the matrix is rounded to float32.

    Parameters
    ----------
    key
        The secret.
    salt
        Random bytes of the gallery, not secret.
    dim
        Length D of the templates.
    """

    def __init__(self, key: Key, salt: bytes, dim: int) -> None:
        self.dim = dim
        self._seed = key.derive("rotation", salt, dim.to_bytes(4, "big"))

    @cached_property
    def matrix(self) -> FloatArray:
        """The matrix, float32 (D, D); made when first needed, in 0.1 s at 512 dimensions."""
        return haar_orthogonal(self._seed, self.dim)

    def protect(self, templates: FloatArray) -> FloatArray:
        """Return protected templates, float32 (N, D), of plain ones, float32 (N, D)."""
        return templates @ self.matrix

    def reveal(self, templates: FloatArray) -> FloatArray:
        """Return plain templates, float32 (N, D), of protected ones, float32 (N, D)."""
        return templates @ self.matrix.T


def haar_orthogonal(seed: bytes, dim: int) -> FloatArray:
    """Return a random orthogonal matrix, float32 (D, D), determined by a seed.

    A product of Householder reflections of Gaussian vectors of length D, D - 1, ..., with the
    signs that make it uniform on the orthogonal group (Stewart, "The efficient generation of
    random orthogonal matrices with an application to condition estimators", SIAM Journal on
    Numerical Analysis 17, 1980).
    """
    normals = _normals(seed, dim * (dim + 1) // 2)
    matrix, signs, start = np.eye(dim), np.empty(dim), 0
    for done in range(dim):
        mirror = normals[start : start + dim - done].copy()
        start += dim - done
        signs[done] = -np.copysign(1.0, mirror[0])
        mirror[0] -= signs[done] * np.sqrt((mirror**2).sum())
        part = matrix[:, done:]
        # Sums by einsum: threads of a busy machine's BLAS would wait for one another at each step.
        along = np.einsum("ij,j->i", part, mirror) * (2 / (mirror**2).sum())
        part -= along[:, None] * mirror
    return np.ascontiguousarray(matrix * signs, np.float32)


def _normals(seed: bytes, count: int) -> NDArray[np.float64]:
    # numpy promises the bits of its raw generators, not of its normal deviates, across versions.
    pairs = -(-count // 2)
    stream = hashlib.shake_256(seed).digest(16 * pairs)
    bits = np.frombuffer(stream, "<u8") >> np.uint64(11)
    # (0, 1], so that the logarithm is finite.
    uniform = (bits.astype(np.float64) + 1) * 2.0**-53
    radius = np.sqrt(-2 * np.log(uniform[:pairs]))
    angle = 2 * np.pi * uniform[pairs:]
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
