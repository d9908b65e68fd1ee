"""Exact nearest neighbours by cosine: a scan of 8-bit codes, then rescoring of what may win.

Every template is kept twice: as 16-bit integers in rows, precise enough to stand for float32, and
as 8-bit integers in columns, which the processor multiplies fastest. A search scans the 8-bit
codes and gets all similarities within a known error E (Cauchy-Schwarz on the rounding residuals of
query and template). The k best templates are then certainly among those that come within 2E of
the k-th best approximate similarity; only these, some tens to hundreds, are computed precisely.
The result is that of a full float32 scan, at a third of its time, with nothing to train, and new
templates are found at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IndexArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

#: Templates per block. A block's codes fill 16 MB at 512 dimensions.
BLOCK = 32768
_SMALLEST = 1024
_CHUNK = 4096
# Fine codes reach 127 * 258, coarse codes 127: one coarse step is 258 fine steps.
_RATIO = 258
_FINE = 127 * _RATIO
# Query codes take 7 bits. Processors without VNNI add pairs of products in 16 bits and saturate,
# and 2 * 127 * 127 just fits.
_QUERY = 63
# Up to this many queries at a time run fastest one by one, without packing the block.
_ONE_BY_ONE = 4
_BATCH = 64
# What 16-bit rounding and float32 sums may add to the error.
_SLACK = 2e-4


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Up to BLOCK templates; the arrays have spare room behind the first ``n``.

    coarse int8 (D, capacity), fine int16 (capacity, D), scale float32 (capacity,) from fine codes
    to numbers, bias int32 (capacity,) that undoes the query codes' zero point, error = largest
    length of a template's coarse rounding residual.
    """

    n: int
    coarse: NDArray[np.int8]
    fine: NDArray[np.int16]
    scale: FloatArray
    bias: NDArray[np.int32]
    error: float

    @property
    def capacity(self) -> int:
        return len(self.scale)


class ExactIndex:
    """An immutable set of unit vectors that answers exact searches.

    :meth:`append` and :meth:`keep` return new indexes that share memory with the old one, which
    stays valid: a search that is under way in another thread is not disturbed. Append to the
    newest index only; a second append to the same one would write over the first's rows.

    Memory: 3 bytes a component, 1.5 GB for a million 512-d templates.

    Parameters
    ----------
    dim
        Length D of the vectors.
    threads
        Threads of one search; None leaves it to ONNX Runtime (one a physical core).
    """

    def __init__(self, dim: int, *, threads: int | None = None) -> None:
        self.dim = dim
        self.threads = threads
        self._blocks: tuple[_Block, ...] = ()
        self._offsets = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the vectors take."""
        return sum(a.nbytes for b in self._blocks for a in (b.coarse, b.fine, b.scale, b.bias))

    def append(self, vectors: FloatArray) -> ExactIndex:
        """Return the index with unit vectors, float32 (N, D), added behind the present ones."""
        blocks = list(self._blocks)
        done = 0
        while done < len(vectors):
            if not blocks or blocks[-1].n == BLOCK:
                blocks.append(_empty(self.dim, min(len(vectors) - done, BLOCK)))
            last = blocks[-1]
            part = vectors[done : done + BLOCK - last.n]
            blocks[-1] = _extended(last, part)
            done += len(part)
        return self._with(blocks)

    def keep(self, mask: BoolArray) -> ExactIndex:
        """Return the index of the vectors whose mask, bool (N,), is true, in the same order."""
        blocks = []
        for block, offset in zip(self._blocks, self._offsets, strict=False):
            kept = mask[offset : offset + block.n]
            if kept.all():
                blocks.append(block)
            elif kept.any():
                blocks.append(_selected(block, np.flatnonzero(kept)))
        return self._with(blocks)

    def _with(self, blocks: list[_Block]) -> ExactIndex:
        index = ExactIndex(self.dim, threads=self.threads)
        index._blocks = tuple(blocks)
        index._offsets = np.cumsum([0, *(b.n for b in blocks)], dtype=np.int64)
        return index

    def search(
        self, queries: FloatArray, k: int, *, mask: BoolArray | None = None
    ) -> list[tuple[IndexArray, FloatArray]]:
        """Return the k most similar vectors of each query.

        Parameters
        ----------
        queries
            Unit vectors, float32 (M, D).
        k
            How many; fewer come back where there are fewer.
        mask
            bool (N,): vectors that may be returned; None allows all.

        Returns
        -------
        For each query: rows int64 (k,) and cosines float32 (k,), best first, equal cosines by row.
        Cosines agree with float32 arithmetic to about 5e-6.
        """
        found: list[tuple[IndexArray, FloatArray]] = []
        for start in range(0, len(queries), _BATCH):
            found += self._search(queries[start : start + _BATCH], k, mask)
        return found

    def _search(
        self, queries: FloatArray, k: int, mask: BoolArray | None
    ) -> list[tuple[IndexArray, FloatArray]]:
        codes, steps, residuals = _encode_queries(queries)
        error = max((b.error for b in self._blocks), default=0.0)
        margin = 2 * (residuals * (1 + error) + error + _SLACK)
        best = np.full((len(queries), k), -np.inf, np.float32)
        kept: list[tuple[IndexArray, IndexArray, FloatArray]] = []
        for number, block, similarity in self._scan(codes, steps):
            if mask is not None:
                offset = self._offsets[number]
                similarity[:, : block.n][:, ~mask[offset : offset + block.n]] = -np.inf
            best = _raise_floor(best, similarity)
            rows, columns = np.nonzero(similarity >= np.maximum(best[:, :1] - margin[:, None], -2))
            kept.append((rows, columns + self._offsets[number], similarity[rows, columns]))
        return self._rescore(queries, k, best[:, 0] - margin, kept)

    def _scan(
        self, codes: NDArray[np.uint8], steps: FloatArray
    ) -> Iterator[tuple[int, _Block, FloatArray]]:
        """Yield each block's number, block and approximate cosines, float32 (M, capacity)."""
        run = _kernel(self.threads)
        for number, block in enumerate(self._blocks):
            if len(codes) <= _ONE_BY_ONE:
                sums = np.concatenate(
                    [run(codes[i : i + 1], block.coarse) for i in range(len(codes))]
                )
            else:
                sums = run(codes, block.coarse)
            sums -= block.bias
            similarity = sums.astype(np.float32)
            similarity *= block.scale
            similarity *= steps[:, None]
            similarity[:, block.n :] = -np.inf
            yield number, block, similarity

    def _rescore(
        self,
        queries: FloatArray,
        k: int,
        floor: FloatArray,
        kept: list[tuple[IndexArray, IndexArray, FloatArray]],
    ) -> list[tuple[IndexArray, FloatArray]]:
        if not kept:
            return [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
        which, rows, rough = (np.concatenate(parts) for parts in zip(*kept, strict=True))
        likely = rough >= floor[which]
        which, rows = which[likely], rows[likely]
        exact = np.empty(len(rows), np.float32)
        numbers = np.searchsorted(self._offsets, rows, side="right") - 1
        for number in np.unique(numbers):
            block, (picked,) = self._blocks[number], np.nonzero(numbers == number)
            local = rows[picked] - self._offsets[number]
            for start in range(0, len(local), _CHUNK):
                part = slice(start, start + _CHUNK)
                fine = block.fine[local[part]].astype(np.float32)
                dots = np.einsum("nd,nd->n", fine, queries[which[picked[part]]])
                exact[picked[part]] = dots * block.scale[local[part]]
        order = np.lexsort((rows, -exact, which))
        which, rows, exact = which[order], rows[order], np.clip(exact[order], -1, 1)
        ends = np.searchsorted(which, np.arange(len(queries) + 1))
        return [
            (rows[a : min(a + k, b)], exact[a : min(a + k, b)]) for a, b in pairwise(ends.tolist())
        ]


def _raise_floor(best: FloatArray, similarity: FloatArray) -> FloatArray:
    """Return k lower bounds, ascending, on the k best similarities seen so far.

    The maxima of disjoint groups are k different similarities, so the k-th best of them bounds
    the k-th best of all from below; finding it takes one pass.
    """
    k = best.shape[1]
    queries, columns = similarity.shape
    groups = 64
    while groups < min(4 * k, columns):
        groups *= 2
    maxima = similarity.reshape(queries, -1, groups).max(1) if groups < columns else similarity
    together = np.concatenate([best, maxima], 1)
    top = np.partition(together, together.shape[1] - k, 1)[:, -k:]
    return np.sort(top, 1)


def _encode_queries(queries: FloatArray) -> tuple[NDArray[np.uint8], FloatArray, FloatArray]:
    """Return 7-bit codes around 64, uint8 (M, D), their steps and the residuals' lengths, (M,)."""
    steps = np.maximum(np.abs(queries).max(1), np.float32(1e-30)) / np.float32(_QUERY)
    rounded = np.rint(queries / steps[:, None])
    residuals = np.linalg.norm(queries - rounded * steps[:, None], axis=1)
    # Block scales are of fine codes; the scan multiplies coarse ones.
    return (rounded + (_QUERY + 1)).astype(np.uint8), steps * np.float32(_RATIO), residuals


def _empty(dim: int, room: int) -> _Block:
    capacity = min(max(_SMALLEST, 1 << (room - 1).bit_length()), BLOCK)
    return _Block(
        0,
        np.zeros((dim, capacity), np.int8),
        np.zeros((capacity, dim), np.int16),
        np.zeros(capacity, np.float32),
        np.zeros(capacity, np.int32),
        0.0,
    )


def _extended(block: _Block, vectors: FloatArray) -> _Block:
    end = block.n + len(vectors)
    if end > block.capacity:
        wide = _empty(vectors.shape[1], end)
        wide.coarse[:, : block.n] = block.coarse[:, : block.n]
        for old, new in (
            (block.fine, wide.fine),
            (block.scale, wide.scale),
            (block.bias, wide.bias),
        ):
            new[: block.n] = old[: block.n]
        block = _Block(block.n, wide.coarse, wide.fine, wide.scale, wide.bias, block.error)
    error = block.error
    for start in range(block.n, end, _CHUNK):
        part = vectors[start - block.n : start - block.n + _CHUNK]
        rows = slice(start, start + len(part))
        scale = np.maximum(np.abs(part).max(1), np.float32(1e-30)) / np.float32(_FINE)
        fine = np.rint(part / scale[:, None])
        coarse = np.rint(fine * np.float32(1 / _RATIO))
        rest = fine - coarse * np.float32(_RATIO)
        error = max(error, float((np.linalg.norm(rest, axis=1) * scale).max()))
        block.fine[rows] = fine
        block.coarse[:, rows] = coarse.astype(np.int8).T
        block.scale[rows] = scale
        block.bias[rows] = coarse.sum(1) * (_QUERY + 1)
    return _Block(end, block.coarse, block.fine, block.scale, block.bias, error)


def _selected(block: _Block, rows: IndexArray) -> _Block:
    new = _empty(block.fine.shape[1], len(rows))
    n = len(rows)
    new.coarse[:, :n] = block.coarse[:, rows]
    new.fine[:n], new.scale[:n], new.bias[:n] = (
        block.fine[rows],
        block.scale[rows],
        block.bias[rows],
    )
    return _Block(n, new.coarse, new.fine, new.scale, new.bias, block.error)


@cache
def _kernel(threads: int | None) -> Any:
    """Return the product of uint8 (M, D) and int8 (D, N) as int32 (M, N), by ONNX Runtime.

    NumPy multiplies integers one at a time; ONNX Runtime has kernels for the dot-product
    instructions of every common processor.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["y"])],
        "scan",
        [
            helper.make_tensor_value_info("a", TensorProto.UINT8, ["m", "d"]),
            helper.make_tensor_value_info("b", TensorProto.INT8, ["d", "n"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["m", "n"])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def run(a: NDArray[np.uint8], b: NDArray[np.int8]) -> NDArray[np.int32]:
        product: NDArray[np.int32] = session.run(None, {"a": a, "b": b})[0]
        return product

    return run
