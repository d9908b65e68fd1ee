"""The known sets: what they are for, their terms, and where they are looked for.

No set is bundled or downloaded. Put the folder of a set under the data folder, which the
environment variable ``VULTUS_DATA`` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from vultus.datasets.records import Dataset
from vultus.errors import ConfigError, DatasetError


@dataclass(frozen=True, slots=True)
class Entry:
    """A known set.

    Parameters
    ----------
    key
        Name on the command line.
    title
        Full name.
    folders
        Names that its folder may have under the data folder.
    tasks
        What it is used for.
    reader
        Module and function that list it, such as ``lfw:read_lfw``.
    terms
        What its publishers allow, in short; read their own words before use.
    commercial
        Whether commercial use is allowed: yes, no, or unclear.
    source
        Where it is published.
    """

    key: str
    title: str
    folders: tuple[str, ...]
    tasks: tuple[str, ...]
    reader: str
    terms: str
    commercial: Literal["yes", "no", "unclear"]
    source: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "key": self.key,
            "title": self.title,
            "folders": list(self.folders),
            "tasks": list(self.tasks),
            "terms": self.terms,
            "commercial": self.commercial,
            "source": self.source,
        }


_RESEARCH = "research only, no redistribution"

ENTRIES: tuple[Entry, ...] = (
    Entry(
        "lfw",
        "Labeled Faces in the Wild",
        ("lfw", "lfw_view1", "lfw-deepfunneled", "lfw_funneled"),
        ("verification", "recognition"),
        "lfw:read_lfw",
        "research benchmark; news photographs of third parties",
        "no",
        "http://vis-www.cs.umass.edu/lfw/",
    ),
    Entry(
        "orl",
        "ORL (AT&T) Database of Faces",
        ("orl", "orl_faces", "att_faces"),
        ("identification",),
        "people:read_orl",
        "free with credit to AT&T Laboratories Cambridge",
        "unclear",
        "https://cam-orl.co.uk/facedatabase.html",
    ),
    Entry(
        "yale-b",
        "Extended Yale B, cropped",
        ("yale_b", "CroppedYale", "ExtendedYaleB"),
        ("identification", "illumination"),
        "people:read_yale_b",
        "research, cite the papers",
        "no",
        "http://vision.ucsd.edu/~leekc/ExtYaleDatabase/ExtYaleB.html",
    ),
    Entry(
        "celebrities",
        "5 Celebrity Faces",
        ("five_celebrities", "5-celebrity-faces-dataset"),
        ("demonstration",),
        "people:read_folder",
        "no licence; photographs from the web",
        "no",
        "https://www.kaggle.com/datasets/dansbecker/5-celebrity-faces-dataset",
    ),
    Entry(
        "congress",
        "Portraits of members of the US Congress",
        ("congress_portraits",),
        ("demonstration",),
        "people:read_portraits",
        "works of the US government, in general public domain",
        "yes",
        "https://github.com/unitedstates/images",
    ),
    Entry(
        "utkface",
        "UTKFace",
        ("utkface", "UTKFace"),
        ("attributes", "fairness"),
        "attributes:read_utkface",
        "non-commercial research, no redistribution",
        "no",
        "https://susanqq.github.io/UTKFace/",
    ),
    Entry(
        "celeba",
        "CelebA",
        ("celeba", "CelebA"),
        ("attributes", "keypoints", "recognition"),
        "attributes:read_celeba",
        "non-commercial research, no redistribution",
        "no",
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    ),
    Entry(
        "scut-fbp5500",
        "SCUT-FBP5500",
        ("scut_fbp5500", "scut_fbp5500_labels", "SCUT-FBP5500_v2"),
        ("attributes",),
        "attributes:read_scut_fbp5500",
        "non-commercial research",
        "no",
        "https://github.com/HCIILAB/SCUT-FBP5500-Database-Release",
    ),
    Entry(
        "fer2013",
        "FER2013",
        ("fer2013", "FER2013"),
        ("expression",),
        "expressions:read_fer2013",
        "not stated",
        "unclear",
        "https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-recognition-challenge",
    ),
    Entry(
        "ck48",
        "CK+ at 48 pixels",
        ("ck48", "CK+48"),
        ("expression",),
        "expressions:read_ck48",
        "research agreement, no redistribution",
        "no",
        "https://www.jeffcohn.net/Resources/",
    ),
    Entry(
        "jaffe",
        "Japanese Female Facial Expression",
        ("jaffe",),
        ("expression",),
        "expressions:read_jaffe",
        "non-commercial research, no redistribution",
        "no",
        "https://zenodo.org/records/3451524",
    ),
    Entry(
        "affectnet",
        "AffectNet",
        ("affectnet", "AffectNet"),
        ("expression",),
        "expressions:read_affectnet",
        _RESEARCH,
        "no",
        "http://mohammadmahoor.com/affectnet/",
    ),
    Entry(
        "300w",
        "300 Faces in the Wild",
        ("300w", "300W", "300-W"),
        ("landmarks",),
        "points:read_300w",
        "non-commercial research; photographs belong to their owners",
        "no",
        "https://ibug.doc.ic.ac.uk/resources/300-W/",
    ),
    Entry(
        "landmarks68",
        "Face crops of the 300-W family with 68 points",
        ("landmarks68",),
        ("landmarks", "pose"),
        "points:read_landmark_table",
        "non-commercial research; photographs belong to their owners",
        "no",
        "https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/",
    ),
    Entry(
        "aflw2000",
        "AFLW2000-3D",
        ("aflw2000", "AFLW2000", "aflw2000_16"),
        ("landmarks", "pose"),
        "points:read_aflw2000",
        _RESEARCH,
        "no",
        "http://www.cbsr.ia.ac.cn/users/xiangyuzhu/projects/3DDFA/main.htm",
    ),
    Entry(
        "wider-face",
        "WIDER FACE",
        ("wider_face", "WIDER", "wider"),
        ("detection",),
        "boxes:read_wider",
        "non-commercial research",
        "no",
        "http://shuoyang1213.me/WIDERFACE/",
    ),
    Entry(
        "afw-scenes",
        "Annotated Faces in the Wild, whole photographs",
        ("afw_scenes",),
        ("detection", "landmarks"),
        "boxes:read_face_table",
        "research; photographs belong to their owners; not every face is annotated",
        "no",
        "https://ibug.doc.ic.ac.uk/resources/facial-point-annotations/",
    ),
    Entry(
        "fasseg",
        "FASSEG face segmentation",
        ("fasseg", "FASSEG-repository"),
        ("parsing", "pose"),
        "masks:read_fasseg",
        "no licence; the authors ask to be cited",
        "unclear",
        "https://github.com/massimomauro/FASSEG-repository",
    ),
    Entry(
        "casia-webface",
        "CASIA-WebFace, packed as .rec",
        ("casia_webface", "faces_webface_112x112", "CASIA-WebFace"),
        ("recognition",),
        "mxnet:read_mxnet",
        _RESEARCH,
        "no",
        "https://arxiv.org/abs/1411.7923",
    ),
    Entry(
        "oulu-npu",
        "OULU-NPU, protocol 1",
        ("oulu_npu", "OULU-NPU", "Oulu_NPU"),
        ("liveness",),
        "attacks:read_oulu",
        "research licence of the University of Oulu, no redistribution",
        "no",
        "https://sites.google.com/site/oulunpudatabase/",
    ),
    Entry(
        "replay-attack",
        "Replay-Attack, protocol grandtest",
        ("replay_attack", "replay-attack", "Replay-Attack"),
        ("liveness",),
        "attacks:read_replay_attack",
        "research licence of the Idiap Research Institute, no redistribution",
        "no",
        "https://www.idiap.ch/en/scientific-research/data/replayattack",
    ),
)


def entry(key: str) -> Entry:
    """Return a known set; raise :class:`ConfigError` naming the known ones."""
    for known in ENTRIES:
        if known.key == key:
            return known
    raise ConfigError(f"unknown data set {key!r}; known: {', '.join(e.key for e in ENTRIES)}")


def data_root(root: Path | str | None = None) -> Path:
    """Return the data folder: the given one, or ``VULTUS_DATA``.

    Raises
    ------
    ConfigError
        If neither is set, or it is not a folder.
    """
    named = root if root is not None else os.environ.get("VULTUS_DATA")
    if not named:
        raise ConfigError("no data folder: set VULTUS_DATA to the folder that holds your data sets")
    if not Path(named).is_dir():
        raise ConfigError(f"the data folder {named} is not a folder: set VULTUS_DATA")
    return Path(named)


def find(key: str, root: Path | str | None = None) -> Path | None:
    """Return the folder of a set under the data folder, or None where it is not there."""
    base = data_root(root)
    places = (base / name for name in entry(key).folders)
    return next((place for place in places if place.is_dir()), None)


def read(key: str, root: Path | str | None = None) -> Dataset:
    """List a set that lies under the data folder.

    Raises
    ------
    ConfigError
        If the set is not known or there is no data folder.
    DatasetError
        If it is not there, naming the folders that were looked for, or has another layout.
    """
    known, place = entry(key), find(key, root)
    if place is None:
        raise DatasetError(
            f"{known.title} is not under {data_root(root)}: looked for "
            f"{', '.join(known.folders)}; it is published at {known.source} ({known.terms})"
        )
    module, _, function = known.reader.partition(":")
    reader: Callable[[Path], Dataset] = getattr(
        import_module(f"vultus.datasets.{module}"), function
    )
    return reader(place)
