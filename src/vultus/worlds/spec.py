"""What a generated world contains: frozen settings that load from plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from vultus.errors import ConfigError
from vultus.worlds.capture import CaptureDomain, Range
from vultus.worlds.expressions import EMOTIONS
from vultus.worlds.species import SPECIES


@dataclass(frozen=True, slots=True)
class PoseSpec:
    """Ranges of head rotation in degrees; angles are uniform, or normal cut at the range."""

    yaw: Range = (-35.0, 35.0)
    pitch: Range = (-15.0, 15.0)
    roll: Range = (-12.0, 12.0)
    normal: bool = True


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """Ranges of distance (cm), of the share of height that the head fills, and greatest offset."""

    distance: Range = (45.0, 160.0)
    fill: Range = (0.68, 0.95)
    offset: float = 0.04


@dataclass(frozen=True, slots=True)
class LightSpec:
    """Ranges of light.

    Parameters
    ----------
    azimuth, elevation
        Direction of the key light in degrees, as seen from the head: positive azimuth is the
        image's right.
    fill
        Strength of further lights relative to the key.
    count
        Least and greatest number of lights.
    ambient
        Ambient light relative to the key.
    colour
        Deviation of the log of each light's colour.
    shadows
        Probability that the key light casts shadows.
    """

    azimuth: Range = (-75.0, 75.0)
    elevation: Range = (-10.0, 65.0)
    fill: Range = (0.1, 0.6)
    count: tuple[int, int] = (1, 3)
    ambient: Range = (0.12, 0.55)
    colour: float = 0.12
    shadows: float = 0.7


@dataclass(frozen=True, slots=True)
class WearSpec:
    """Probabilities of glasses, of dark ones among them, hats, make-up, and things in the way."""

    glasses: float = 0.15
    dark: float = 0.2
    hat: float = 0.04
    makeup: float = 0.2
    occluder: float = 0.0


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """A world to generate pictures from.

    Parameters
    ----------
    head, detail
        Source of geometry and its level of detail; ``auto`` picks ``low`` up to 160 pixels.
    size, samples
        Side of the pictures; colour samples per pixel side.
    population
        Seed of the people.
    people
        Identity numbers to use, in turn; ``identities`` numbers from 0 when empty.
    identities
        Number of people if ``people`` is empty.
    asymmetry
        Deviation of asymmetric shape, see :func:`~vultus.worlds.people.person`.
    emotions
        Keys of :data:`~vultus.worlds.expressions.EMOTIONS` or ``random``, drawn evenly.
    pose, camera, light, wear
        Ranges.
    domains
        Capture domains, drawn evenly.
    backgrounds
        Folder of photographs; procedural backgrounds without one.
    textures
        Folder of skins projected from photographs (``vultus data textures``), given to the people
        in turn by their numbers; painted skin without one.
    species
        Presentations, drawn evenly: ``bona_fide`` and attack species of
        :mod:`vultus.worlds.species`.
    channels
        Whether near-infrared and thermal channels are drawn.
    """

    head: str = "procedural"
    detail: str = "auto"
    size: int = 112
    samples: int = 2
    population: int = 0
    people: tuple[int, ...] = ()
    identities: int = 100
    asymmetry: float = 0.35
    emotions: tuple[str, ...] = ("neutral", "neutral", "random", *tuple(EMOTIONS)[1:])
    pose: PoseSpec = PoseSpec()
    camera: CameraSpec = CameraSpec()
    light: LightSpec = LightSpec()
    wear: WearSpec = WearSpec()
    domains: tuple[CaptureDomain, ...] = (CaptureDomain(),)
    backgrounds: str | None = None
    textures: str | None = None
    species: tuple[str, ...] = ("bona_fide",)
    channels: bool = False

    def __post_init__(self) -> None:
        _require(self.head in ("procedural", "ict"), f"unknown head {self.head!r}")
        _require(self.detail in ("auto", "low", "high"), f"unknown detail {self.detail!r}")
        _require(16 <= self.size <= 2048, f"size must lie in [16, 2048], got {self.size}")
        _require(1 <= self.samples <= 4, f"samples must lie in [1, 4], got {self.samples}")
        _require(bool(self.people) or self.identities > 0, "a world needs at least one identity")
        _require(all(n >= 0 for n in self.people), "identity numbers start at 0")
        known = {*EMOTIONS, "random"}
        unknown = sorted(set(self.emotions) - known)
        _require(bool(self.emotions) and not unknown, f"unknown emotions {unknown}")
        unknown = sorted(set(self.species) - {"bona_fide", *SPECIES})
        _require(bool(self.species) and not unknown, f"unknown species {unknown}")
        _require(bool(self.domains), "a world needs at least one capture domain")
        for part in (self.pose, self.camera, self.light):
            for f in fields(part):
                value = getattr(part, f.name)
                if isinstance(value, tuple):
                    _require(value[0] <= value[1], f"{f.name} must be low <= high, got {value}")
        _require(self.camera.distance[0] >= 25, "cameras stand at least 25 cm away")
        _require(self.camera.fill[0] > 0, "the head must fill a positive share of the picture")
        _require(self.light.count[0] >= 1, "a world needs at least one light")
        for f in fields(self.wear):
            p = getattr(self.wear, f.name)
            _require(0 <= p <= 1, f"probability {f.name} must lie in [0, 1], got {p}")

    @property
    def level(self) -> str:
        """Level of detail in force."""
        if self.detail != "auto":
            return self.detail
        return "low" if self.size <= 160 else "high"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Identity numbers in use."""
        return self.people or tuple(range(self.identities))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON or YAML."""
        return _plain(asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WorldSpec:
        """Read plain values.

        Raises
        ------
        ConfigError
            Naming the key that is unknown or has a value of the wrong kind.
        """
        return _read(cls, values, "world")  # type: ignore[no-any-return]

    def photo_folder(self) -> Path | None:
        """Folder of background photographs, if any."""
        return Path(self.backgrounds) if self.backgrounds else None

    def texture_folder(self) -> Path | None:
        """Folder of projected skins, if any."""
        return Path(self.textures) if self.textures else None


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(f"world: {message}")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _read(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a mapping, got {value!r}")
        hints = get_type_hints(kind)
        known = {f.name for f in fields(kind)}
        unknown = sorted(set(value) - known)
        if unknown:
            raise ConfigError(f"{where} has no key {unknown}; known: {sorted(known)}")
        parts = {k: _read(hints[k], v, f"{where}.{k}") for k, v in value.items()}
        return kind(**parts)  # type: ignore[operator]
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, got {value!r}")
        if arguments[-1] is Ellipsis:
            return tuple(_read(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(arguments):
            raise ConfigError(f"{where} must have {len(arguments)} entries, got {value!r}")
        pairs = zip(arguments, value, strict=True)
        return tuple(_read(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(pairs))
    if origin in (Union, UnionType):
        if value is None:
            return None
        return _read(arguments[0], value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {kind.__name__}, got {value!r}")
    return value
