"""Files of templates: one row per face, with where it came from and its space."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError, SpaceMismatchError
from vultus.faces import Embedding, Face
from vultus.writing import replacing

SUFFIXES = (".npz", ".parquet")


class TemplateWriter:
    """Collects templates of one space and writes them on leaving the ``with`` block.

    ``.npz`` holds arrays ``source`` (N,) str, ``face`` (N,) int (index in its picture), ``box``
    float32 (N, 4), ``score`` float32 (N,), ``vector`` float32 (N, D) and ``space`` str, none of
    them an object array; ``.parquet`` holds the same as columns, with ``space`` in the schema's
    metadata. Nothing is written when the block ends with an error.

    Raises
    ------
    ConfigError
        If the suffix is neither, or the folder does not exist.
    """

    def __init__(self, path: Path | str, space: str) -> None:
        self.path = Path(path)
        self.space = space
        if self.path.suffix not in SUFFIXES:
            raise ConfigError(f"{path}: templates are written as {' or '.join(SUFFIXES)}")
        if not self.path.parent.is_dir():
            raise ConfigError(f"{path}: the folder {self.path.parent} does not exist")
        self._sources: list[str] = []
        self._indices: list[int] = []
        self._faces: list[Face] = []

    @property
    def count(self) -> int:
        """How many templates were added."""
        return len(self._faces)

    def add(self, source: str, faces: Iterable[Face]) -> None:
        """Add the embedded faces of one picture.

        Raises
        ------
        SpaceMismatchError
            If a template is of another space.
        """
        for i, face in enumerate(faces):
            if face.embedding.space != self.space:
                raise SpaceMismatchError(
                    f"{source}: template of {face.embedding.space!r}, the file is of {self.space!r}"
                )
            self._sources.append(source)
            self._indices.append(i)
            self._faces.append(face)

    def __enter__(self) -> TemplateWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._write()

    def _write(self) -> None:
        columns = {
            "source": np.array(self._sources, np.str_),
            "face": np.array(self._indices, np.int32),
            "box": np.array([f.box for f in self._faces], np.float32).reshape(-1, 4),
            "score": np.array([f.score for f in self._faces], np.float32),
            "vector": np.array([f.embedding.vector for f in self._faces], np.float32),
        }
        with replacing(self.path) as part:
            if self.path.suffix == ".npz":
                with part.open("wb") as file:
                    np.savez(file, allow_pickle=False, space=np.array(self.space), **columns)
            else:
                _write_parquet(part, columns, self.space)


def _write_parquet(path: Path, columns: Mapping[str, NDArray[Any]], space: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {
        name: pa.array(value.tolist() if value.ndim == 2 else value)
        for name, value in columns.items()
    }
    pq.write_table(pa.table(arrays).replace_schema_metadata({"space": space}), path)


def read_templates(path: Path | str) -> tuple[list[str], list[Embedding]]:
    """Return the sources and the templates of a file written by :class:`TemplateWriter`.

    Raises
    ------
    ConfigError
        If the file cannot be read as such.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            table = pq.read_table(path)
            space = table.schema.metadata[b"space"].decode()
            sources = table.column("source").to_pylist()
            vectors = np.array(table.column("vector").to_pylist(), np.float32)
        else:
            with np.load(path, allow_pickle=False) as data:
                space = str(data["space"])
                sources, vectors = data["source"].tolist(), data["vector"]
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path}: cannot be read as templates: {error}") from error
    return sources, [Embedding(vector, space) for vector in vectors]
