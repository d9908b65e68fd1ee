"""Make the worked card: collect pictures, train, freeze the predictions, evaluate, write the card.

    python docs/cards/age40.py --data FOLDER_OF_DATA_SETS

About five minutes on one CPU core. Pictures, weights and the table stay under ``--work`` and are
not published: UTKFace is for non-commercial research, and its file names are its labels.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from vultus.audit import model_cards as cards
from vultus.audit.model_cards.classifier import predict
from vultus.audit.model_cards.pictures import LabelledPictures
from vultus.datasets.attributes import read_utkface
from vultus.images import open_image
from vultus.training import load_checkpoint, train

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPE = ROOT / "recipes" / "model-cards.yaml"
DESCRIPTION = HERE / "age40-utkface.yaml"

AGE, SIZE, SEED = 40, 64, 41
SHARES = {"train": 0.5, "dev": 0.15, "test": 0.35}
BANDS = ((20, "0 to 19"), (40, "20 to 39"), (60, "40 to 59"), (200, "60 and over"))

ANNOTATED = (
    "File names of UTKFace, where the set's authors put an algorithm's estimate that annotators "
    "checked: {what}, as it appeared to them, not as the person would say."
)

#: Bits of 256 by which the difference hashes of copies may differ; the distances of unrelated
#: pictures begin at about 30.
COPY = 20


def collect(folder: Path) -> LabelledPictures:
    """Read UTKFace, cluster copies, and split by cluster."""
    records = read_utkface(folder).where(lambda record: record.labels["sex"] is not None)
    pictures, hashes = [], []
    for record in records:
        whole = open_image(record.source())
        pictures.append(cv2.resize(whole, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
        small = cv2.resize(whole, (17, 16), interpolation=cv2.INTER_AREA).astype(int).sum(2)
        hashes.append((np.diff(small, axis=1) > 0).ravel())
    age = records.label("age")
    first, second = copies(np.array(hashes))
    clusters, codes = connected_components(
        csr_array((np.ones(len(first)), (first, second)), shape=(len(records), len(records)))
    )
    place = np.random.default_rng(SEED).permutation(clusters) / clusters
    edges = np.cumsum(list(SHARES.values()))[:-1]
    split = np.array(list(SHARES))[np.searchsorted(edges, place[codes], side="right")]
    band = np.searchsorted([stop for stop, _ in BANDS], age, side="right")

    def factor(name: str, values: np.ndarray, what: str) -> cards.GroupColumn:
        differ = int((values[first] != values[second]).sum())
        error = (
            f"Two near copies of one picture carry different labels in {differ} of the "
            f"{len(first)} such pairs of the whole set."
        )
        source = ANNOTATED.format(what=what)
        return cards.GroupColumn(
            name, values, cards.Provenance(kind="annotated", source=source, error=error)
        )

    return LabelledPictures(
        pictures=np.stack(pictures),
        samples=np.array([record.path.stem for record in records]),
        split=split,
        label=age >= AGE,
        groups=(
            factor("age band", np.array([name for _, name in BANDS])[band], "age in years"),
            factor("gender", records.label("sex"), "male or female"),
            factor("race", records.label("race"), "one of five categories"),
        ),
    )


def copies(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of pictures whose difference hashes, bool (N, 256), are nearly the same."""
    signs = hashes.astype(np.float32) * 2 - 1
    pairs = []
    for start in range(0, len(signs), 1000):
        apart = (signs.shape[1] - signs[start : start + 1000] @ signs.T) / 2
        rows, columns = np.nonzero(apart <= COPY)
        rows += start
        pairs.append(np.stack([rows, columns])[:, rows < columns])
    first, second = np.concatenate(pairs, axis=1)
    return first, second


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = os.environ.get("VULTUS_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default), help="holds utkface/")
    parser.add_argument("--work", type=Path, default=ROOT / "out" / "age40")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    found = collect(given.data / "utkface")
    pictures = found.save(given.work / "pictures.npz")
    result = train(
        RECIPE, {"config.file": str(pictures)}, out=given.work / "training", tensorboard=False
    )
    print(f"trained {result.step} steps in {result.seconds:.0f} s: {dict(result.metrics)}")
    _, learner, _ = load_checkpoint(result.checkpoint)
    table = given.work / "age40-utkface.parquet"
    found.table(predict(learner, found.pictures)).save(table)
    card = cards.make_card(
        cards.read_description(DESCRIPTION),
        table,
        command="python docs/cards/age40.py",
        plan=cards.Plan(rule="equal-error", resamples=2000),
    )
    print(cards.save_card(card, given.out))


if __name__ == "__main__":
    main()
