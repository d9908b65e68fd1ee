"""Short clips: living heads that drift, blink and move their faces; sheets that only tremble."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vultus.errors import ConfigError
from vultus.worlds.camera import Camera
from vultus.worlds.heads import FloatArray, Head
from vultus.worlds.samples import Sample
from vultus.worlds.scene import Shot
from vultus.worlds.sheets import Sheet, sample_sheet
from vultus.worlds.species import SHEETS
from vultus.worlds.world import World

Float64Array = NDArray[np.float64]

#: Length of a blink in seconds, closing and opening, and mean time between blinks.
BLINK = 0.28
BETWEEN_BLINKS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A short video of one presentation.

    Parameters
    ----------
    frames
        One sample per frame, with all labels.
    fps
        Frames per second.
    closed
        float32 (T,) how far the eyes of what is shown are closed, in [0, 1].
    """

    frames: tuple[Sample, ...]
    fps: float
    closed: FloatArray

    @property
    def colour(self) -> NDArray[np.uint8]:
        """uint8 (T, S, S, 3)."""
        return np.stack([f.colour for f in self.frames])

    @property
    def species(self) -> str:
        """Presentation species."""
        return self.frames[0].species

    @property
    def identity(self) -> int:
        """Identity shown."""
        return self.frames[0].identity


def clip(world: World, seed: int, index: int, frames: int, *, fps: float = 25.0) -> Clip:
    """Draw a clip.

    Living heads turn smoothly, blink, look about and let their expression rise and fall. Prints,
    screens and masks keep what their material allows: a print is one still picture, a screen
    replays a moving head, both tremble rigidly with the hand that holds them; a mask turns with
    the head, and does not blink.

    Parameters
    ----------
    world
        What to draw from.
    seed, index
        Which clip.
    frames
        Number of frames, at least 1.
    fps
        Frames per second; the motion is the same in seconds whatever the rate.

    Raises
    ------
    ConfigError
        If frames or fps is not positive.
    """
    if frames < 1 or fps <= 0:
        raise ConfigError(f"a clip needs frames and a rate above zero, got {frames} at {fps}")
    return Clip(
        tuple(
            world.picture(shot, moment=t, sheet=sheet)
            for t, shot, sheet in _moments(world, seed, index, frames, fps)
        ),
        fps,
        blinks(world.shot(seed, index).rng("blink"), frames, fps),
    )


def _moments(
    world: World, seed: int, index: int, frames: int, fps: float
) -> Iterator[tuple[int, Shot, Sheet | None]]:
    shot = world.shot(seed, index)
    time = np.arange(frames) / fps
    turn = drift(shot.rng("turn"), time, (5.0, 3.0, 2.0), 0.35)
    move = drift(shot.rng("move"), time, (0.012, 0.012), 0.4)
    rise = 1 + drift(shot.rng("rise"), time, (0.35,), 0.5)[:, 0]
    closed = blinks(shot.rng("blink"), frames, fps)
    hand = drift(shot.rng("hand"), time, (2.5, 2.5, 1.5), 1.2)
    fixed = shot.rng("support").random() < 0.4
    base = sample_sheet(shot.species, shot.rng("sheet")) if shot.species in SHEETS else None
    for t in range(frames):
        pose = shot.pose
        if shot.species not in ("print", "print_bent", "print_cut"):
            pose = _added(pose, turn[t])
        camera = Camera(
            shot.camera.distance,
            shot.camera.fill,
            (shot.camera.offset[0] + float(move[t, 0]), shot.camera.offset[1] + float(move[t, 1])),
        )
        weights = _alive(world.head, shot.weights, float(rise[t]), float(closed[t]))
        still = shot.species in ("print", "print_bent")
        sheet = None
        if base is not None:
            # A screen on a stand does not move; a sheet in a hand does.
            held = np.zeros(3) if fixed and base.screen else hand[t]
            sheet = replace(base, pose=_added(base.pose, held))
        yield (
            t,
            replace(shot, pose=pose, camera=camera, weights=shot.weights if still else weights),
            sheet,
        )


def drift(
    rng: np.random.Generator, time: Float64Array, amplitude: tuple[float, ...], rate: float
) -> Float64Array:
    """Return smooth motion about zero, float64 (T, K): three incommensurate waves per axis.

    Parameters
    ----------
    rng
        Source of phases and frequencies.
    time
        Seconds (T,).
    amplitude
        Root mean square per axis.
    rate
        Mean frequency in hertz.
    """
    out = np.zeros((len(time), len(amplitude)))
    for k, size in enumerate(amplitude):
        for share in (0.8, 0.5, 0.33):
            frequency = rate * rng.uniform(0.4, 1.9)
            out[:, k] += share * size * np.sin(2 * np.pi * (frequency * time + rng.random()))
    return out * 1.4


def blinks(rng: np.random.Generator, frames: int, fps: float) -> FloatArray:
    """Return how far the eyes are closed at each frame, float32 (frames,), in [0, 1]."""
    time = np.arange(frames) / fps
    out = np.zeros(frames)
    at = float(rng.exponential(BETWEEN_BLINKS / 2))
    while at < frames / fps:
        # Lids fall faster than they rise.
        since = (time - at) / BLINK
        out = np.maximum(out, np.where(since < 0.35, since / 0.35, (1 - since) / 0.65))
        at += BLINK + float(rng.exponential(BETWEEN_BLINKS))
    smooth = np.clip(out, 0, 1)
    return np.asarray(smooth * smooth * (3 - 2 * smooth), np.float32)


def _alive(head: Head, weights: FloatArray, rise: float, closed: float) -> FloatArray:
    out: FloatArray = np.clip(weights * max(rise, 0.0), 0, 1).astype(np.float32)
    for i, name in enumerate(head.expression_names):
        if name.startswith("eyeBlink"):
            out[i] = max(out[i], closed)
        elif name.startswith(("eyeWide", "eyeSquint")):
            # Lids cannot close and be held open at once.
            out[i] *= 1 - closed
    return out


def _added(pose: tuple[float, float, float], change: Float64Array) -> tuple[float, float, float]:
    return pose[0] + float(change[0]), pose[1] + float(change[1]), pose[2] + float(change[2])
