"""Softmax heads over class centres: whole, sampled, and split over processes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vultus.errors import ConfigError
from vultus.nets.layers import unit
from vultus.nets.margins import Margin, build_margin

IGNORE = -1


class MarginSoftmax(nn.Module):
    """Mean cross-entropy of scaled cosines to class centres, with a margin on the target.

    Parameters
    ----------
    dim, classes
        Length of the embedding, number of identities.
    margin
        See :class:`~vultus.nets.margins.Margin`.
    sample
        Share of the centres that take part in a step (partial FC, An et al., 2022): those of the
        batch's identities always, others drawn at random with torch's generator. The centres
        left out get a zero gradient; an optimiser with momentum still moves them.
    """

    def __init__(
        self, dim: int, classes: int, margin: Margin | None = None, sample: float = 1.0
    ) -> None:
        super().__init__()
        if not 0 < sample <= 1:
            raise ConfigError(f"share of sampled class centres must be in (0, 1], got {sample}")
        margin = margin or Margin()
        self.classes, self.sample, self.scale = classes, sample, margin.scale
        self.margin = build_margin(margin)
        self.weight = nn.Parameter(torch.randn(classes, dim) * 0.01)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Return float32 (N, classes) in [-1, 1]."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return (unit(embeddings) @ unit(self.weight).T).clamp(-1, 1)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of raw embeddings (N, dim) and labels, int64 (N,) in [0, classes)."""
        with torch.autocast(embeddings.device.type, enabled=False):
            weight: Tensor = self.weight
            local = labels
            if self.sample < 1:
                chosen = sample_centres(labels, self.classes, self.sample)
                weight, local = weight[chosen], torch.searchsorted(chosen, labels)
            cosine = (unit(embeddings) @ unit(weight).T).clamp(-1, 1)
            norm = embeddings.float().norm(dim=1)
            target, penalty = self.margin(cosine.gather(1, local[:, None])[:, 0], norm)
            logits = self.scale * cosine.scatter(1, local[:, None], target[:, None])
            loss: Tensor = nn.functional.cross_entropy(logits, local) + penalty.mean()
            return loss


def sample_centres(labels: Tensor, classes: int, share: float) -> Tensor:
    """Return sorted int64 indices: all classes in ``labels``, filled up at random to the share."""
    present = torch.unique(labels)
    wanted = max(len(present), round(share * classes), 1)
    priority = torch.rand(classes, device=labels.device)
    priority[present] = 2.0
    return priority.topk(wanted).indices.sort().values


def shard_bounds(classes: int, rank: int, world: int) -> tuple[int, int]:
    """Return first and one past the last class that a process holds; sizes differ by at most 1."""
    size, rest = divmod(classes, world)
    first = rank * size + min(rank, rest)
    return first, first + size + (rank < rest)


class ShardedMarginSoftmax(nn.Module):
    """:class:`MarginSoftmax` with the class centres split over the processes of a group.

    The loss equals the unsharded one over the joined batch, on every process. Each process must
    bring the same number of samples. The centres differ per process, so the surrounding
    data-parallel wrapper must leave :attr:`weight` alone; the trainer does so for parameters that
    carry ``sharded = True``. Backward assumes that the wrapper averages the backbone's gradients
    over processes, and undoes that average.

    Parameters
    ----------
    dim, classes, margin, sample
        As for :class:`MarginSoftmax`; each process samples among its own centres.
    group
        Process group; the default one if not given. Without an initialised process group the
        head holds every centre.
    """

    def __init__(
        self,
        dim: int,
        classes: int,
        margin: Margin | None = None,
        sample: float = 1.0,
        group: dist.ProcessGroup | None = None,
    ) -> None:
        super().__init__()
        margin = margin or Margin()
        self.group, self.classes, self.sample = group, classes, sample
        self.scale, self.margin = margin.scale, build_margin(margin)
        spread = dist.is_available() and dist.is_initialized()
        self.rank = dist.get_rank(group) if spread else 0
        self.world = dist.get_world_size(group) if spread else 1
        self.first, self.last = shard_bounds(classes, self.rank, self.world)
        # Every process draws all centres and keeps its own, so the split changes nothing.
        centres = torch.randn(classes, dim) * 0.01
        self.weight = nn.Parameter(centres[self.first : self.last].clone())
        self.weight.sharded = self.world > 1  # type: ignore[attr-defined]

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over all processes' samples; arguments are this process's."""
        with torch.autocast(embeddings.device.type, enabled=False):
            joined, labels = self._gather(embeddings.float(), labels)
            inside = (labels >= self.first) & (labels < self.last)
            local = torch.where(inside, labels - self.first, IGNORE)
            weight: Tensor = self.weight
            if self.sample < 1:
                chosen = sample_centres(local[inside], len(weight), self.sample)
                weight = weight[chosen]
                local = torch.where(inside, torch.searchsorted(chosen, local.clamp(min=0)), IGNORE)
            cosine = (unit(joined) @ unit(weight).T).clamp(-1, 1)
            own = local.clamp(min=0)[:, None]
            # Each norm is seen once per process; the penalty counts where the centre lives.
            target, penalty = self.margin(cosine.gather(1, own)[:, 0], joined.norm(dim=1))
            value = torch.where(inside, target, cosine.gather(1, own)[:, 0])
            logits = self.scale * cosine.scatter(1, own, value[:, None])
            loss = self._cross_entropy(logits, local)
            return loss + self._sum((penalty * inside).sum() / len(labels))

    def _gather(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if self.world == 1:
            return embeddings, labels
        parts = [torch.empty_like(labels) for _ in range(self.world)]
        dist.all_gather(parts, labels.contiguous(), group=self.group)
        joined: Tensor = _Gather.apply(embeddings, self.group)  # type: ignore[no-untyped-call]
        return joined, torch.cat(parts)

    def _cross_entropy(self, logits: Tensor, local: Tensor) -> Tensor:
        loss: Tensor = _CrossEntropy.apply(  # type: ignore[no-untyped-call]
            logits, local, self.group, self.world
        )
        return loss

    def _sum(self, value: Tensor) -> Tensor:
        if self.world == 1:
            return value
        total: Tensor = _Sum.apply(value, self.group)  # type: ignore[no-untyped-call]
        return total


class _Gather(torch.autograd.Function):
    """Join (N, D) of all processes; backward sums what each process made of one's own rows."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, x.contiguous(), group=group)
        return torch.cat(parts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        grad = grad.contiguous()
        dist.all_reduce(grad, group=ctx.group)
        world = dist.get_world_size(ctx.group)
        # Times the world size, since data parallelism divides by it afterwards.
        return grad.chunk(world)[dist.get_rank(ctx.group)] * world, None


class _Sum(torch.autograd.Function):
    """Sum a scalar over processes; each keeps the gradient of its own part."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        total = x.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _CrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of logits whose columns are split over processes."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, local: Tensor, group: dist.ProcessGroup | None, world: int
    ) -> Tensor:
        inside = local != IGNORE
        top = logits.max(1).values
        if world > 1:
            dist.all_reduce(top, dist.ReduceOp.MAX, group=group)
        exponent = (logits - top[:, None]).exp()
        target = logits.gather(1, local.clamp(min=0)[:, None])[:, 0] - top
        parts = torch.stack([exponent.sum(1), torch.where(inside, target, 0)])
        if world > 1:
            dist.all_reduce(parts, group=group)
        total, target = parts
        ctx.save_for_backward(exponent / total[:, None], local)
        loss: Tensor = (total.log() - target).mean()
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        probability, local = ctx.saved_tensors
        slope = probability.clone()
        rows = torch.nonzero(local != IGNORE)[:, 0]
        slope[rows, local[rows]] -= 1
        return slope * (grad / len(local)), None, None, None
