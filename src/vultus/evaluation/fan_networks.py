"""Networks of ``fan-alignment`` from what a user has: a run, a checkpoint, or a released file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vultus.errors import ConfigError

if TYPE_CHECKING:
    from vultus.landmarks.fan.aligner import Aligner, DepthEstimator
    from vultus.landmarks.fan.learners import FanLearner, Task
    from vultus.landmarks.fan.released import ReleasedAligner, ReleasedDepth


def open_aligner(path: Path) -> Aligner | ReleasedAligner:
    """Return a network that finds points in a box.

    Parameters
    ----------
    path
        Folder of a run of ``fan-alignment`` with ``task: align``, or of one of its checkpoints; or
        a released 2DFAN or 3DFAN file.

    Raises
    ------
    ConfigError
        If it is something else.
    WeightsError
        If a released file is damaged.
    """
    if path.is_file():
        from vultus.landmarks.fan.released import load_released

        return load_released(path)
    return replace(_learner(path, "align").aligner(), name=path.name)


def open_lifter(path: Path) -> Aligner:
    """Return a network that turns visible points into projected ones, from its run."""
    return replace(_learner(path, "lift").aligner(), name=path.name)


def open_depth(path: Path) -> DepthEstimator | ReleasedDepth:
    """Return a depth network, from its run or from the released file."""
    if path.is_file():
        from vultus.landmarks.fan.released import load_released_depth

        return load_released_depth(path)
    return _learner(path, "depth").estimator()


def _learner(path: Path, task: Task) -> FanLearner:
    from vultus.landmarks.fan.learners import FanLearner
    from vultus.training import load_checkpoint
    from vultus.training.exporting import chosen_checkpoint

    if not path.is_dir():
        raise ConfigError(f"{path}: neither the folder of a run nor a file of released weights")
    learner = load_checkpoint(chosen_checkpoint(path))[1]
    if not isinstance(learner, FanLearner) or learner.config.task != task:
        trained = learner.config.task if isinstance(learner, FanLearner) else "another kind"
        raise ConfigError(f"{path}: wanted fan-alignment with task {task}, it has {trained}")
    return learner
