"""A small network for age and sex, taught by labels or by a teacher.

Age is a distribution over whole years, trained against a normal one around the label and by its
expectation (Gao et al., "Age Estimation Using Expectation of Label Distribution Learning", 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vultus.attributes.teachers import age_and_sex
from vultus.datasets.crops import LabelledCrops, load_labelled
from vultus.errors import DatasetError
from vultus.nets.augmentation import Augmentation
from vultus.nets.backbones import Backbone, build_backbone
from vultus.nets.crop_streams import AugmentedCrops, run
from vultus.nets.learning import Batch, Data, Export, Learner, Losses, Progress
from vultus.nets.streams import Shuffled, Stream
from vultus.settings import settings
from vultus.worlds import WorldSpec, stream

#: Ages that the network tells apart: whole years from 0.
YEARS = 101
#: The crop that it looks at, scaled to its size.
TEMPLATE = "dlib150"


@settings
class AgeSexData:
    """Where crops and labels come from.

    Parameters
    ----------
    file
        What ``vultus data crops`` wrote with the template ``dlib150``. Without it, a few renders
        with random labels stand in, which check the mechanics alone.
    teacher
        ``age-gender-recognition-retail-0013.xml``: labels of the file are left aside, and the
        teacher's are used. Without it, the labels ``age`` and ``sex`` of the file.
    test
        Share of the pictures that is neither trained on nor chosen on, see
        :meth:`~vultus.datasets.crops.LabelledCrops.places`.
    development
        Share that chooses the checkpoint.
    """

    file: str | None = None
    teacher: str | None = None
    development: float = 0.08
    test: float = 0.12

    def __post_init__(self) -> None:
        if not 0 < self.development < 1 or not 0 <= self.test < 1 - self.development:
            raise ValueError("development and test must be shares that leave something to train on")


@settings
class AgeSexSettings:
    """Age and sex from one crop.

    Parameters
    ----------
    data, backbone, augmentation
        Crops; network (its ``dim`` is that of the features); how crops are changed.
    batch
        Examples per step.
    spread
        Standard deviation in years of the distribution around an age.
    """

    data: AgeSexData
    backbone: Backbone
    augmentation: Augmentation = field(default_factory=Augmentation)
    batch: int = 64
    spread: float = 2.5


@dataclass(frozen=True, slots=True, eq=False)
class Development:
    """Pictures that choose the checkpoint, with age in years and probability of being male."""

    images: NDArray[np.uint8]
    age: NDArray[np.float32]
    male: NDArray[np.float32]


class AgeSexNet(nn.Module):
    """(N, 3, S, S) -> (N, 102): logits of the years, and the logit of being male."""

    def __init__(self, config: Backbone) -> None:
        super().__init__()
        self.backbone = build_backbone(config)
        self.heads = nn.Linear(config.dim, YEARS + 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        y: Tensor = self.heads(functional.relu(self.backbone(x)))
        return y


class Answers(nn.Module):
    """The network as shipped: (N, 3) with age, its standard deviation, probability of male."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("years", torch.arange(YEARS, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers."""
        logits = self.net(x).float()
        share = logits[:, :YEARS].softmax(1)
        age = share @ self.years
        variance = (share * (self.years - age[:, None]).square()).sum(1)
        return torch.stack([age, variance.sqrt(), logits[:, YEARS].sigmoid()], 1)


class AgeSexLearner(Learner):
    """Network and losses."""

    def __init__(self, config: AgeSexSettings) -> None:
        super().__init__()
        self.config = config
        self.net = AgeSexNet(config.backbone)
        self.register_buffer("years", torch.arange(YEARS, dtype=torch.float32))

    def losses(self, batch: Batch, progress: Progress, player: str) -> Losses:
        """Return ``distribution``, ``age`` (mean absolute error in tens of years) and ``sex``."""
        faces = batch["faces"]
        logits = self.net(faces["image"]).float()
        age, male = faces["age"].float(), faces["male"].float()
        log_share = logits[:, :YEARS].log_softmax(1)
        wanted = torch.exp(-0.5 * ((self.years - age[:, None]) / self.config.spread).square())
        wanted = wanted / wanted.sum(1, keepdim=True)
        guess = log_share.exp() @ self.years
        return Losses(
            {
                "distribution": -(wanted * log_share).sum(1).mean(),
                "age": (guess - age).abs().mean() / 10,
                "sex": functional.binary_cross_entropy_with_logits(logits[:, YEARS], male),
            }
        )


class AgeSex:
    """Age in years and sex of a face, from one small network."""

    settings = AgeSexSettings

    @staticmethod
    def build(config: AgeSexSettings) -> AgeSexLearner:
        """Return an untrained learner."""
        return AgeSexLearner(config)

    @staticmethod
    def data(config: AgeSexSettings, seed: int) -> Data:
        """Return the stream of faces and the development part."""
        crops = labelled(config, seed)
        age, male = crops.label("age"), crops.label("male")
        known, place = np.isfinite(age) & np.isfinite(male), crops.places()
        seen = config.data.test + config.data.development
        train = np.flatnonzero(known & (place >= seen))
        chosen = np.flatnonzero(known & (place >= config.data.test) & (place < seen))
        targets = {"age": age[train], "male": male[train]}
        examples = AugmentedCrops(
            crops.images[train], targets, config.backbone.size, config.augmentation
        )
        faces = Stream(examples, Shuffled(len(train), config.batch, seed))
        development = Development(crops.images[chosen], age[chosen], male[chosen])
        return Data({"faces": faces}, development)

    @staticmethod
    def evaluate(learner: AgeSexLearner, development: Development) -> Mapping[str, float]:
        """Return ``age_mae`` in years, ``sex_accuracy``, and ``error``, which chooses."""
        answers = run(Answers(learner.net), development.images, learner.config.backbone.size)
        age, _, male = answers.numpy().T
        mae = float(np.abs(age - development.age).mean())
        accuracy = float(((male > 0.5) == (development.male > 0.5)).mean())
        return {"age_mae": mae, "sex_accuracy": accuracy, "error": mae / 10 + 1 - accuracy}

    @staticmethod
    def export(learner: AgeSexLearner) -> Mapping[str, Export]:
        """Return the network with its answers as outputs."""
        size = learner.config.backbone.size
        example = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
        manifest = {
            "task": "attributes",
            "size": size,
            "template": TEMPLATE,
            "input": {"layout": "nchw", "order": "rgb", "mean": [127.5], "std": [127.5]},
        }
        return {"age-sex": Export(Answers(learner.net), example, ("answers",), manifest)}


def labelled(config: AgeSexSettings, seed: int) -> LabelledCrops:
    """Return crops with the labels ``age`` and ``male``, NaN where not known.

    Raises
    ------
    DatasetError
        If the file has no such labels and there is no teacher.
    """
    if config.data.file is None:
        return _stand_ins(config.backbone.size, seed)
    crops = load_labelled(config.data.file)
    if config.data.teacher is not None:
        age, male = _taught(crops.images, Path(config.data.file), config.data.teacher)
    else:
        names, codes = crops.names.get("sex", ()), crops.label("sex")
        if "male" not in names:
            raise DatasetError(f"{config.data.file}: the label sex has no class male")
        male = np.where(codes < 0, np.nan, codes == names.index("male")).astype(np.float32)
        age = np.clip(crops.label("age"), 0, YEARS - 1).astype(np.float32)
    return LabelledCrops(
        crops.images, crops.points, {**crops.labels, "age": age, "male": male}, crops.names
    )


def _taught(
    images: NDArray[np.uint8], file: Path, teacher: str
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    kept = file.with_suffix(".age-sex.npz")
    if kept.exists() and kept.stat().st_mtime > file.stat().st_mtime:
        with np.load(kept, allow_pickle=False) as saved:
            return saved["age"], saved["male"]
    age, male = age_and_sex(images, teacher)
    np.savez(kept, age=age, male=male)
    return age, male


def _stand_ins(size: int, seed: int) -> LabelledCrops:
    spec = WorldSpec(size=max(size, 16), identities=24)
    samples = list(stream(spec, seed, 24))
    rng = np.random.default_rng((seed, 5))
    labels = {
        "age": rng.uniform(0, YEARS - 1, 24).astype(np.float32),
        "male": rng.integers(0, 2, 24).astype(np.float32),
    }
    images = np.stack([sample.colour for sample in samples])
    return LabelledCrops(images, np.stack([s.keypoints for s in samples]), labels)
