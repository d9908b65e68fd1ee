"""SymFace: an additional loss that pulls the two halves of a frontal face together.

Prabhakar et al., "SymFace: Additional Facial Symmetry Loss for Deep Face Recognition" (2024). The
formulas of the discrepancy, of rho and of the loss are this project's reading of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from vultus.errors import ConfigError
from vultus.nets.backbones import Backbone, build_backbone
from vultus.nets.layers import unit
from vultus.nets.learning import MAIN, Data, Export, Learner, Losses, Progress
from vultus.nets.margins import Margin
from vultus.nets.softmax import MarginSoftmax
from vultus.nets.streams import Shuffled, Strata, Stream
from vultus.recognition.crops import CropData, CropExamples, Crops, load_split, pixels
from vultus.recognition.shipping import embedding_export
from vultus.recognition.verification import embed, figures
from vultus.registry import system
from vultus.settings import settings

Placement = Literal["pad", "resize", "mirror"]
Variant = Literal["symface", "base", "halves", "other", "all"]


@settings
class SymFaceSettings:
    """SymFace on any backbone and any margin.

    Parameters
    ----------
    data, backbone, margin
        Crops, network and base loss.
    identities
        Rows of the class-centre matrix; at least the number of training people.
    batch, symmetric
        Examples per step, and the share of them that is drawn from the symmetric group.
    quantile, floor
        The symmetric group is the ``quantile`` with the highest rho, as far as rho >= floor.
    weight
        Factor on the symmetry loss (lambda).
    placement
        How a half becomes an input: the other half black (``pad``), stretched to the full width
        (``resize``), or completed by its own mirror image (``mirror``).
    together
        Whether wholes and halves share one forward pass, and so batch statistics. Otherwise the
        halves have a pass of their own that leaves the running statistics alone.
    flip
        Whether half of the training pictures are mirrored. A network that is to tell mirror images
        apart must not see them as one person.
    variant
        ``symface``; ``base``, without halves; ``halves``, the same compute with the base loss on
        the halves in place of the pull; ``other``, pulling halves of two pictures of a person;
        ``all``, pulling the halves of every picture, whatever its pose.
    """

    data: CropData
    backbone: Backbone
    margin: Margin
    identities: int
    batch: int
    symmetric: float = 0.5
    quantile: float = 0.4
    floor: float = 0.8
    weight: float = 1.0
    placement: Placement = "pad"
    together: bool = False
    flip: bool = True
    variant: Variant = "symface"

    def __post_init__(self) -> None:
        if not 0 < self.symmetric < 1 or not 0 < self.quantile <= 1 or not 0 <= self.floor <= 1:
            raise ValueError("symmetric and quantile must lie in (0, 1), floor in [0, 1]")
        if self.data.size != self.backbone.size:
            raise ValueError("data.size and backbone.size must be equal")


def frontness(points: ArrayLike) -> NDArray[np.float64]:
    """Return rho in [0, 1] of keypoints (N, 5, 2); 1 is frontal.

    D is how far the nose lies from the middle of the eyes, in half eye distances, both
    horizontal; rho = max(0, 1 - D). Give points of aligned crops, since roll moves D.
    """
    x = np.asarray(points, np.float64)[..., 0]
    half = np.abs(x[:, 1] - x[:, 0]) / 2
    off = np.abs((x[:, 0] + x[:, 1]) / 2 - x[:, 2])
    return 1 - np.minimum(np.divide(off, half, out=np.ones_like(off), where=half > 0), 1)


def midline(points: ArrayLike) -> NDArray[np.float64]:
    """Return the column of the facial midline, (N,): mean of the eyes' centre and the nose."""
    x = np.asarray(points, np.float64)[..., 0]
    return ((x[:, 0] + x[:, 1]) / 2 + x[:, 2]) / 2


def symmetric_group(rho: ArrayLike, quantile: float, floor: float) -> NDArray[np.bool_]:
    """Return which images count as symmetric: the top ``quantile`` by rho, if rho >= floor."""
    values = np.asarray(rho)
    group: NDArray[np.bool_] = values >= max(float(np.quantile(values, 1 - quantile)), floor)
    return group


def split(images: Tensor, columns: Tensor, placement: Placement = "pad") -> tuple[Tensor, Tensor]:
    """Cut faces at their midline (three-point symmetric split).

    Parameters
    ----------
    images
        float (N, C, H, W).
    columns
        float (N,): midline in pixels, rounded to whole or half pixels.
    placement
        See :class:`SymFaceSettings`.

    Returns
    -------
    The image-left halves, and the image-right halves mirrored about the midline, both
    (N, C, H, W): equal for a face that is its own mirror image. A pixel whose mirror image lies
    outside the picture is black on the right half.
    """
    width = images.shape[-1]
    twice = (2 * columns).round().long()[:, None]
    x = torch.arange(width, device=images.device)[None]
    mirrored = twice - x
    left = images
    right = _columns(images, mirrored.clamp(0, width - 1))
    right = right * ((mirrored >= 0) & (mirrored < width))[:, None, None]
    if placement == "resize":
        place = (x + 0.5) * (twice / 2 + 0.5) / width - 0.5
        return _between(left, place), _between(right, place)
    half = 2 * x <= twice
    if placement == "mirror":
        fold = torch.where(half, x.expand_as(mirrored), mirrored).clamp(0, width - 1)
        return _columns(left, fold), _columns(right, fold)
    kept = half[:, None, None]
    return left * kept, right * kept


def _columns(images: Tensor, index: Tensor) -> Tensor:
    return images.gather(-1, index[:, None, None].expand_as(images))


def _between(images: Tensor, place: Tensor) -> Tensor:
    place = place.clamp(0, images.shape[-1] - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=images.shape[-1] - 1)
    part = (place - low)[:, None, None].to(images.dtype)
    return _columns(images, low) * (1 - part) + _columns(images, high) * part


def symmetry_loss(left: Tensor, right: Tensor, rho: Tensor) -> Tensor:
    """Return mean rho (1 - cos(left, right)) of embeddings (N, D); 0 for an empty batch."""
    if not len(rho):
        return left.sum() * 0
    cosine = (unit(left) * unit(right)).sum(1)
    return (rho * (1 - cosine)).mean()


class SymmetricExamples(CropExamples):
    """Crops with rho, the midline, and another symmetric picture of the same person.

    Further fields: ``rho``; ``symmetric`` (0 or 1); ``column``, the midline after mirroring;
    ``partner`` and ``partner_column``, the picture itself where the person has no other.
    """

    def __init__(self, crops: Crops, config: SymFaceSettings) -> None:
        super().__init__(crops, flip=config.flip)
        self.rho = frontness(crops.points)
        self.column = midline(crops.points)
        self.symmetric = symmetric_group(self.rho, config.quantile, config.floor)
        if config.variant == "all":
            self.symmetric = np.ones_like(self.symmetric)
        self.with_partner = config.variant == "other"
        self._by_person: dict[int, NDArray[np.intp]] = {
            int(p): np.flatnonzero((crops.people == p) & self.symmetric)
            for p in np.unique(crops.people)
        }

    def example(self, index: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Return one example."""
        found = dict(super().example(index, rng))
        flipped = bool(found["flipped"])
        weight = 1.0 if self.symmetric.all() else self.rho[index]
        found["rho"] = np.float32(weight)
        found["symmetric"] = int(self.symmetric[index])
        found["column"] = self._column(index, flipped)
        if self.with_partner:
            others = self._by_person[int(self.crops.people[index])]
            others = others[others != index]
            partner = int(rng.choice(others)) if len(others) else index
            found["partner"] = pixels(self.crops.images[partner], flipped)
            found["partner_column"] = self._column(partner, flipped)
        return found

    def _column(self, index: int, flipped: bool) -> np.float32:
        column = self.column[index]
        return np.float32(self.crops.size - 1 - column if flipped else column)


class SymFaceLearner(Learner):
    """Backbone and margin head; halves go through the same backbone."""

    def __init__(self, config: SymFaceSettings) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone)
        self.head = MarginSoftmax(config.backbone.dim, config.identities, config.margin)

    def losses(self, batch: Mapping[str, Any], progress: Progress, player: str = MAIN) -> Losses:
        """Return the base loss and the symmetry loss (or the control's) of a batch."""
        faces = batch["faces"]
        images, labels = faces["image"], faces["label"]
        rows = torch.nonzero(faces["symmetric"])[:, 0]
        if self.config.variant == "base" or not len(rows):
            return Losses({"base": self.head(self.backbone(images), labels)})
        left, right = self._halves(faces, rows)
        whole, left, right = self._embed(images, left, right)
        terms = {"base": self.head(whole, labels)}
        rho = faces["rho"][rows]
        pull = symmetry_loss(left, right, rho)
        if self.config.variant == "halves":
            doubled = labels[rows].repeat(2)
            terms["halves"] = self.config.weight * self.head(torch.cat([left, right]), doubled)
        else:
            terms["symmetry"] = self.config.weight * pull
        return Losses(terms, {"pull": pull.detach(), "symmetric": len(rows) / len(labels)})

    def _halves(self, faces: Mapping[str, Tensor], rows: Tensor) -> tuple[Tensor, Tensor]:
        place = self.config.placement
        left, right = split(faces["image"][rows], faces["column"][rows], place)
        if self.config.variant == "other":
            _, right = split(faces["partner"][rows], faces["partner_column"][rows], place)
        return left, right

    def _embed(self, whole: Tensor, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = len(left)
        if self.config.together:
            joined = self.backbone(torch.cat([whole, left, right]))
            return joined[: -2 * n], joined[-2 * n : -n], joined[-n:]
        embeddings = self.backbone(whole)
        with _statistics_kept(self.backbone):
            halves = self.backbone(torch.cat([left, right]))
        return embeddings, halves[:n], halves[n:]


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """Use batch statistics without moving the running ones."""
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm, value in zip(norms, tracked, strict=True):
            norm.track_running_stats = value


@system("symface", paper=15, task="recognition")
class SymFace:
    """Pulls the embeddings of both halves of frontal faces together while training."""

    settings = SymFaceSettings

    @staticmethod
    def build(config: SymFaceSettings) -> SymFaceLearner:
        """Return an untrained network with its head."""
        return SymFaceLearner(config)

    @staticmethod
    def data(config: SymFaceSettings, seed: int) -> Data:
        """Return crops whose batches hold both groups, and other people for development."""
        train, development = load_split(config.data, seed)
        if train.people.max() >= config.identities:
            raise ConfigError(
                f"config.identities is {config.identities}, the data has {train.people.max() + 1}"
            )
        examples = SymmetricExamples(train, config)
        rho = frontness(train.points)
        group = symmetric_group(rho, config.quantile, config.floor)
        inside, outside = np.flatnonzero(group), np.flatnonzero(~group)
        if not len(inside) or not len(outside):
            return Data(
                {"faces": Stream(examples, Shuffled(len(examples), config.batch, seed))},
                development,
            )
        share = min(max(round(config.symmetric * config.batch), 1), config.batch - 1)
        sampler = Strata([inside, outside], [share, config.batch - share], seed)
        return Data({"faces": Stream(examples, sampler)}, development)

    @staticmethod
    def evaluate(learner: SymFaceLearner, development: Crops) -> dict[str, float]:
        """Return verification figures on unseen people, and the mean cosine of halves."""
        vectors = embed(learner.backbone, development.images)
        found = figures(vectors, development.people)
        found["halves_cosine"] = halves_cosine(learner, development)
        return found

    @staticmethod
    def export(learner: SymFaceLearner) -> dict[str, Export]:
        """Return the backbone; nothing of the symmetry loss is left at inference."""
        return {"backbone": embedding_export(learner.backbone)}


def halves_cosine(learner: SymFaceLearner, crops: Crops) -> float:
    """Return the mean cosine between the embeddings of the halves of the symmetric crops."""
    group = symmetric_group(frontness(crops.points), learner.config.quantile, learner.config.floor)
    if not group.any():
        return float("nan")
    chosen = crops.take(group)
    images = torch.from_numpy(np.stack([pixels(image) for image in chosen.images]))
    left, right = split(images, torch.from_numpy(midline(chosen.points)), learner.config.placement)
    device = next(learner.parameters()).device
    with torch.no_grad():
        a, b = (unit(learner.backbone(half.to(device))) for half in (left, right))
    return float((a * b).sum(1).mean())
