"""Training MiniFASNet further in windows, with a map of the face beside its classes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vultus.liveness.cdcn.learners import CDCNSettings, Window, laid_out, map_losses
from vultus.liveness.cdcn.minifasnet import LIVE, WindowNet, load_minifasnet
from vultus.nets.learning import MAIN, Learner, Losses, ParameterGroup, Progress


class WindowLearner(Learner):
    """Truth for map and classes, and the network's own first answers where they were right.

    The answers at the start come from training on real attacks; they hold the network near to what
    it knew of these while it learns from simulated ones.
    """

    def __init__(self, config: CDCNSettings, window: Window) -> None:
        super().__init__()
        self.config, self.window = config, window
        self.network = WindowNet(config.theta, window.hidden, window.share)
        if window.start is not None:
            load_minifasnet(self.network.trunk, Path(window.start))
        # In a tuple, so that it is neither trained nor stored with the learner.
        self._first = (copy.deepcopy(self.network.trunk).eval().requires_grad_(False),)

    def players(self) -> Mapping[str, list[ParameterGroup]]:
        """Return the trunk, at its own rate, and the head."""
        trunk = {id(p) for p in self.network.trunk.parameters()}
        others = [p for p in self.network.parameters() if id(p) not in trunk]
        of_trunk = ParameterGroup(list(self.network.trunk.parameters()), lr_scale=self.window.rate)
        return {MAIN: [of_trunk, ParameterGroup(others)]}

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the losses of maps, of bona fide against attack, and against the first answers."""
        faces = batch["faces"]
        images, live = laid_out(faces["image"]), faces["live"].bool()
        maps, logits = self.network.parts(images)
        given = map_losses(maps, faces, self.config.contrast)
        shares = functional.log_softmax(logits.float(), 1)
        terms = {**given.terms, "label": label_loss(shares, live)}
        if self.window.distil:
            first = self._first[0].to(images.device)
            with torch.no_grad():
                answers = torch.softmax(first(images)[1].float(), 1)
            terms["distil"] = self.window.distil * distilled(shares, answers, live)
        right = ((shares.detach().exp()[:, LIVE] > 0.5) == live).float().mean()
        return Losses(terms, {**given.monitors, "right": right})


def label_loss(shares: Tensor, live: Tensor) -> Tensor:
    """Return the cross-entropy of bona fide against both attack classes together.

    Parameters
    ----------
    shares
        (N, 3) log probabilities of print, live and replay.
    live
        bool (N,).
    """
    attack = torch.logsumexp(shares[:, [i for i in range(3) if i != LIVE]], 1)
    return -torch.where(live, shares[:, LIVE], attack).mean()


def distilled(shares: Tensor, answers: Tensor, live: Tensor) -> Tensor:
    """Return the divergence from answers, averaged over all rows, those that were wrong left out.

    Parameters
    ----------
    shares, answers
        (N, 3) log probabilities, and probabilities to come near to.
    live
        bool (N,), the truth.
    """
    trusted = ((answers[:, LIVE] > 0.5) == live).float()
    apart = (answers * (answers.clamp(min=1e-8).log() - shares)).sum(1)
    return (trusted * apart).mean()
