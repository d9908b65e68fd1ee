"""Draw the circumstances of a picture: who, how, where, under which light, by which camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vultus.worlds.appearance import Appearance, sample_makeup
from vultus.worlds.backgrounds import procedural_background
from vultus.worlds.camera import Camera
from vultus.worlds.capture import CameraState, CaptureDomain, Range
from vultus.worlds.channels import Room
from vultus.worlds.expressions import sample_expression
from vultus.worlds.heads import FloatArray, Head
from vultus.worlds.noise import generator
from vultus.worlds.people import Person, person
from vultus.worlds.render import Lighting
from vultus.worlds.spec import LightSpec, PoseSpec, WorldSpec


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """Everything that is random about one picture, drawn and fixed.

    Parameters
    ----------
    seed, index
        The picture's number; sub-generators are keyed by both.
    who, look
        The person, and their looks with today's make-up.
    emotion, weights
        Label and float32 (E,) expression weights.
    pose
        Yaw, pitch, roll in degrees.
    camera, lighting, state
        Of the picture.
    domain, species
        Labels.
    glasses, dark, hat, occluder
        What is worn, or in the way.
    room
        Temperatures.
    """

    seed: int
    index: int
    who: Person
    look: Appearance
    emotion: str
    weights: FloatArray
    pose: tuple[float, float, float]
    camera: Camera
    lighting: Lighting
    state: CameraState
    domain: CaptureDomain
    species: str
    glasses: bool
    dark: bool
    hat: bool
    occluder: bool
    room: Room

    def rng(self, *keys: int | str) -> np.random.Generator:
        """Return the generator of one concern of this picture."""
        return generator(self.seed, self.index, *keys)


def draw_shot(spec: WorldSpec, head: Head, seed: int, index: int) -> Shot:
    """Draw picture ``index`` of a world; each concern has its own stream of randomness."""
    numbers = spec.numbers
    who = person(head, spec.population, numbers[index % len(numbers)], asymmetry=spec.asymmetry)
    wear = generator(seed, index, "wear")
    worn = wear.random(5)
    painted = worn[3] < spec.wear.makeup and who.look.beard == 0
    look = replace(who.look, makeup=sample_makeup(wear)) if painted else who.look
    rng = generator(seed, index, "labels")
    emotion = str(rng.choice(spec.emotions))
    domain = spec.domains[int(rng.integers(len(spec.domains)))]
    species = str(rng.choice(spec.species))
    camera = generator(seed, index, "camera")
    return Shot(
        seed=seed,
        index=index,
        who=who,
        look=look,
        emotion=emotion,
        weights=sample_expression(head, emotion, generator(seed, index, "expression")),
        pose=sample_pose(spec.pose, generator(seed, index, "pose")),
        camera=Camera(
            distance=float(camera.uniform(*spec.camera.distance)),
            fill=float(camera.uniform(*spec.camera.fill)),
            offset=_pair(camera.uniform(-1, 1, 2) * spec.camera.offset),
        ),
        lighting=sample_lighting(spec.light, generator(seed, index, "light")),
        state=domain.sample(generator(seed, index, "state")),
        domain=domain,
        species=species,
        glasses=bool(worn[0] < spec.wear.glasses),
        dark=bool(worn[1] < spec.wear.dark),
        hat=bool(worn[2] < spec.wear.hat),
        occluder=bool(worn[4] < spec.wear.occluder),
        room=Room.sample(generator(seed, index, "room")),
    )


def sample_pose(spec: PoseSpec, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw yaw, pitch and roll in degrees."""
    out = []
    for low, high in (spec.yaw, spec.pitch, spec.roll):
        if spec.normal:
            # A third of the range on each side, so that the extremes occur but are rare.
            value = (low + high) / 2 + rng.normal() * (high - low) / 4.5
            out.append(float(np.clip(value, low, high)))
        else:
            out.append(float(rng.uniform(low, high)))
    return out[0], out[1], out[2]


def sample_lighting(spec: LightSpec, rng: np.random.Generator) -> Lighting:
    """Draw coloured lights; the first is the key."""
    count = int(rng.integers(spec.count[0], spec.count[1] + 1))
    directions, colours = [], []
    for k in range(count):
        azimuth, elevation = (
            np.deg2rad([rng.uniform(*spec.azimuth), rng.uniform(*spec.elevation)])
            if k == 0
            else np.deg2rad([rng.uniform(-150, 150), rng.uniform(-20, 70)])
        )
        strength = 1.35 if k == 0 else 1.35 * rng.uniform(*spec.fill)
        directions.append(_direction(azimuth, elevation))
        colours.append(strength * np.exp(rng.normal(0, spec.colour, 3)))
    ambient = rng.uniform(*spec.ambient)
    sky = ambient * np.exp(rng.normal(0, spec.colour, 3))
    ground = ambient * rng.uniform(0.3, 0.8) * np.exp(rng.normal(0, spec.colour, 3))
    return Lighting(
        np.array(directions, np.float32),
        np.array(colours, np.float32),
        sky.astype(np.float32),
        ground.astype(np.float32),
        bool(rng.random() < spec.shadows),
    )


def background(shot: Shot, spec: WorldSpec, size: int, key: str = "background") -> FloatArray:
    """Return what stands behind, linear float32 (size, size, 3)."""
    rng = shot.rng(key)
    folder = spec.photo_folder()
    if folder is None:
        return procedural_background(rng, size)
    from vultus.worlds.backgrounds import photo_background, photo_backgrounds

    pictures = photo_backgrounds(folder)
    return photo_background(pictures[int(rng.integers(len(pictures)))], rng, size)


def _direction(azimuth: float, elevation: float) -> FloatArray:
    level = np.cos(elevation)
    unit = [level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)]
    return np.array(unit, np.float32)


def _pair(values: NDArray[np.floating]) -> Range:
    return float(values[0]), float(values[1])
