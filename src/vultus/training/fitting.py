"""Fit a system that needs no gradient steps, with the same folder as the result."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vultus.registry import load_system
from vultus.training import checkpoints
from vultus.training.logs import CsvLog
from vultus.training.module import evaluate, write_result
from vultus.training.recipes import LoadedRecipe, recipe_values


def fit(loaded: LoadedRecipe, out: Path) -> None:
    """Build, fit, score and save; see :func:`vultus.training.train`.

    Parameters
    ----------
    loaded
        Recipe of a :class:`~vultus.nets.learning.FittedSystem`.
    out
        Folder of the run.
    """
    recipe = loaded.recipe
    system: Any = load_system(recipe.system).build
    torch.manual_seed(recipe.seed)
    random.seed(recipe.seed)
    np.random.seed(recipe.seed)  # noqa: NPY002
    learner = system.build(loaded.config)
    data = system.data(loaded.config, recipe.seed)
    began = time.perf_counter()
    figures = dict(system.fit(learner, data.whole, recipe.seed))
    seconds = time.perf_counter() - began
    metrics = {} if data.development is None else evaluate(system, learner, data)
    log = CsvLog(out, 0)
    log.log_metrics(figures | {f"development/{name}": v for name, v in metrics.items()}, 1)
    log.finalize("success")
    state = {
        "recipe": recipe_values(recipe),
        "metrics": metrics,
        "best": {"step": None, "value": None, "misses": 0},
        "samplers": {},
        "precision": {},
    }
    folder = checkpoints.save(checkpoints.Run(learner, {}, None), state, out, 1)
    write_result(
        out,
        {
            "checkpoint": str(folder.relative_to(out)),
            "step": 1,
            "metrics": metrics,
            "best": None,
            "seconds": seconds,
        },
    )
