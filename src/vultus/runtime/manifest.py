"""The manifest: which weight files exist, where they come from, and what may be done with them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal

from vultus.errors import WeightsError

Commercial = Literal["yes", "no", "unclear"]

_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """A file inside the ``vultus`` package; ``path`` is relative to the package folder."""

    path: str


@dataclass(frozen=True, slots=True)
class DistributionMember:
    """One file of a Python distribution, installed or fetched through pip.

    Parameters
    ----------
    distribution, version
        Exact requirement.
    member
        Path of the file relative to the folder where the distribution installs.
    archive
        Which kind of file pip fetches.
    archive_sha256
        SHA-256 of the archives that are accepted. pip checks it before it looks into the archive,
        so no other build script can run.
    python, platform
        Tags of the wheel to fetch where it differs by platform, for example ``3.11`` and
        ``manylinux2014_x86_64``: data files do not depend on the machine that reads them.
    """

    distribution: str
    version: str
    member: str
    archive: Literal["wheel", "sdist"]
    archive_sha256: tuple[str, ...]
    python: str | None = None
    platform: str | None = None

    @property
    def requirement(self) -> str:
        """The pinned requirement, ``NAME==VERSION``."""
        return f"{self.distribution}=={self.version}"


@dataclass(frozen=True, slots=True)
class Download:
    """A file behind an https address."""

    url: str


Source = PackagedFile | DistributionMember | Download

_SOURCES: Mapping[str, type[PackagedFile | DistributionMember | Download]] = {
    "package": PackagedFile,
    "distribution": DistributionMember,
    "url": Download,
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a network wants of an RGB uint8 crop: ``(x - mean) / std`` in its layout.

    Parameters
    ----------
    layout
        ``nchw`` or ``nhwc``.
    order
        Channel order, ``rgb`` or ``bgr``.
    dtype
        ``uint8`` (the crop as it is; mean and std must be 0 and 1) or ``float32``.
    mean, std
        One value for all channels, or three in the network's channel order.
    """

    layout: Literal["nchw", "nhwc"] = "nchw"
    order: Literal["rgb", "bgr"] = "rgb"
    dtype: Literal["uint8", "float32"] = "float32"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        choices = {"layout": ("nchw", "nhwc"), "order": ("rgb", "bgr"), "dtype": _DTYPES}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise WeightsError(f"preprocessing: {name} must be one of {allowed}")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, 3):
                raise WeightsError(f"preprocessing: {name} must have 1 or 3 values")
        if not all(self.std):
            raise WeightsError("preprocessing: std must not be 0")
        if self.dtype == "uint8" and (any(self.mean) or any(s != 1 for s in self.std)):
            raise WeightsError("preprocessing: a uint8 input takes no mean and std")


_DTYPES = ("uint8", "float32")


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured figure of a weight.

    Parameters
    ----------
    metric, value
        For example ``LFW View 2 accuracy`` and 0.99.
    on
        Data and machine that it was measured on.
    command
        The command that measured it.
    n
        Number of items behind it.
    interval
        95 % confidence interval.
    """

    metric: str
    value: float
    on: str
    command: str
    n: int | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight file.

    Parameters
    ----------
    id
        Name by which it is asked for.
    task
        Room that uses it, for example ``recognition``.
    source
        Where its bytes come from.
    sha256, bytes
        Of the source file.
    licence
        SPDX identifier where there is one.
    commercial
        Whether commercial use is allowed: ``yes``, ``no`` or ``unclear``.
    homepage
        Where author and licence are stated.
    data
        What it was trained on.
    template
        Alignment template or crop that it wants, or None.
    convert
        Name of the converter that turns the source file into what is loaded, or None.
    input
        Preprocessing of the loaded network, or None where the predictor knows it.
    figures
        What was measured.
    """

    id: str
    task: str
    source: Source
    sha256: str
    bytes: int
    licence: str
    commercial: Commercial
    homepage: str
    data: str
    template: str | None = None
    convert: str | None = None
    input: Preprocessing | None = None
    figures: tuple[Figure, ...] = ()

    @property
    def digest(self) -> str:
        """The first 12 hex digits of the SHA-256."""
        return self.sha256[:12]


def manifest() -> Mapping[str, Weight]:
    """Return every weight of the package by id; raise :class:`WeightsError` if it is malformed."""
    text = resources.files("vultus.runtime").joinpath("weights.toml").read_text("utf-8")
    return parse_manifest(text, "weights.toml")


def read_manifest(path: Path | str) -> Mapping[str, Weight]:
    """Read a manifest file; raise :class:`WeightsError` naming the file and the entry."""
    try:
        return parse_manifest(Path(path).read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read as a manifest: {error}") from error


def parse_manifest(text: str, name: str) -> Mapping[str, Weight]:
    """Parse a manifest: one TOML table per weight, named by its id.

    Raises
    ------
    WeightsError
        If the text is no TOML, or an entry has an unknown, missing or malformed field.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WeightsError(f"{name}: not TOML: {error}") from error
    weights = {}
    for weight_id, table in tables.items():
        try:
            weights[weight_id] = _weight(weight_id, table)
        except (WeightsError, TypeError, ValueError) as error:
            raise WeightsError(f"{name}, entry {weight_id!r}: {error}") from error
    return MappingProxyType(weights)


def _weight(weight_id: str, table: Any) -> Weight:
    if not isinstance(table, dict):
        raise WeightsError("must be a table")
    values = dict(table)
    values["source"] = _source(values.get("source"))
    if "input" in values:
        values["input"] = _build(Preprocessing, _tuples(values["input"]))
    if "figures" in values:
        values["figures"] = tuple(_build(Figure, _tuples(f)) for f in values["figures"])
    weight: Weight = _build(Weight, {"id": weight_id} | values)
    if not _ID.fullmatch(weight.id):
        raise WeightsError("an id has lower-case letters, digits, dots and dashes")
    if not _SHA256.fullmatch(weight.sha256):
        raise WeightsError("sha256 must be 64 hex digits in lower case")
    if type(weight.bytes) is not int or weight.bytes <= 0:
        raise WeightsError("bytes must be a positive number")
    if weight.commercial not in ("yes", "no", "unclear"):
        raise WeightsError("commercial must be 'yes', 'no' or 'unclear'")
    return weight


def _source(table: Any) -> Source:
    values = dict(table) if isinstance(table, dict) else {}
    kind = values.pop("kind", None)
    if kind not in _SOURCES:
        raise WeightsError(f"source.kind must be one of {sorted(_SOURCES)}, got {kind!r}")
    source: Source = _build(_SOURCES[kind], _tuples(values))
    if isinstance(source, Download) and not source.url.startswith("https://"):
        raise WeightsError(f"source.url must be https, got {source.url!r}")
    if isinstance(source, DistributionMember):
        if source.archive not in ("wheel", "sdist"):
            raise WeightsError("source.archive must be 'wheel' or 'sdist'")
        if not source.archive_sha256 or not all(map(_SHA256.fullmatch, source.archive_sha256)):
            raise WeightsError("source.archive_sha256 must list SHA-256 hashes")
    inside = getattr(source, "path", getattr(source, "member", "file"))
    parts = PurePosixPath(inside).parts
    if not parts or ".." in parts or parts[0] == "/" or "\\" in inside:
        raise WeightsError(f"source: {inside!r} is not a path inside the package")
    return source


def _tuples(table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise WeightsError(f"expected a table, got {table!r}")
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}


def _build(kind: type[Any], values: dict[str, Any]) -> Any:
    unknown = values.keys() - {f.name for f in fields(kind)}
    if unknown:
        raise WeightsError(f"{kind.__name__} has no field {sorted(unknown)}")
    return kind(**values)
