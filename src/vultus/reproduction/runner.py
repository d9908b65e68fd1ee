"""Run a reproduction seed by seed, and keep every number."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import math
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from vultus.errors import ConfigError
from vultus.registry import catalogue
from vultus.reproduction.claims import Claim, Measurement
from vultus.reproduction.verdicts import MIN_SEEDS, Verdict, judge
from vultus.writing import replacing

Measurements = Mapping[str, Measurement]

SEEDS = 3
PACKAGES = ("vultus", "numpy", "torch", "lightning", "transformers", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A module ``reproductions/SLUG.py``.

    Parameters
    ----------
    slug, file
        Its name and where it lies.
    claims
        What it states.
    budgets
        What ``run`` takes as its second argument, by name; ``smoke`` and ``cpu`` at least.
    run
        ``run(seed, budget)`` returns a :class:`Measurement` per claim id.
    first_seed
        The module's ``first_seed``, 0 if it has none: seeds before it served to plan the
        measurement and are not measured.
    """

    slug: str
    file: Path
    claims: tuple[Claim, ...]
    budgets: Mapping[str, Any]
    run: Callable[[int, Any], Measurements]
    first_seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of :func:`reproduce` for one system; no verdicts after a smoke run."""

    slug: str
    verdicts: Mapping[str, Verdict]
    file: Path | None


def repository() -> Path:
    """Return the folder that holds ``reproductions/``: the working directory or the checkout.

    Raises
    ------
    ConfigError
        If neither holds one: reproductions are not part of an installed package.
    """
    checkout = Path(__file__).resolve().parents[3]
    for root in (Path.cwd(), checkout):
        if (root / "reproductions").is_dir():
            return root
    raise ConfigError("no folder 'reproductions' here: run this in a checkout of the project")


def load_reproduction(slug: str, root: Path | None = None) -> Reproduction:
    """Import ``reproductions/SLUG.py`` and check what it exposes.

    Raises
    ------
    ConfigError
        If there is no such file, or it lacks ``claims``, ``budgets`` or ``run``.
    """
    file = (root or repository()) / "reproductions" / f"{slug}.py"
    if not file.is_file():
        known = sorted(p.stem for p in file.parent.glob("*.py"))
        raise ConfigError(f"no reproduction {slug!r}; known: {known}")
    module = _import(file)
    missing = [name for name in ("claims", "budgets", "run") if not hasattr(module, name)]
    if missing:
        raise ConfigError(f"{file}: does not define {missing}")
    claims: tuple[Claim, ...] = tuple(module.claims)
    ids = [claim.id for claim in claims]
    if not claims or len(set(ids)) != len(ids):
        raise ConfigError(f"{file}: needs claims with different ids, has {ids}")
    unknown = {"smoke", "cpu", *(c.budget for c in claims)} - set(module.budgets)
    if unknown:
        raise ConfigError(f"{file}: budgets lacks {sorted(unknown)}")
    first = int(getattr(module, "first_seed", 0))
    return Reproduction(slug, file, claims, module.budgets, module.run, first)


def reproduce(
    slug: str,
    *,
    smoke: bool = False,
    seeds: Sequence[int] | int | None = None,
    budget: str | None = None,
    root: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Measure the claims of one system, or of ``"all"``.

    Seeds that were measured before with the same code and budget are taken from the results file,
    which is written anew after every seed.

    Parameters
    ----------
    slug
        System, or ``all``.
    smoke
        Check the mechanics in seconds: one seed, smallest budget, no verdict, nothing written.
    seeds
        Seeds, or their number, counted from the module's first; three if not given.
    budget
        Key of the module's ``budgets``; ``cpu`` if not given.
    root
        Folder that holds ``reproductions/``.
    report
        Called with a line of text after each seed.

    Raises
    ------
    ConfigError
        If there is no such reproduction or budget, fewer than three seeds are asked for, or
        ``run`` measures other claims than it states.
    """
    top = root or repository()
    slugs = [slug]
    if slug == "all":
        slugs = sorted(p.stem for p in (top / "reproductions").glob("*.py"))
    wanted = SEEDS if seeds is None else seeds
    count = wanted if isinstance(wanted, int) else len(set(wanted))
    if not smoke and count < MIN_SEEDS:
        raise ConfigError(f"a verdict needs {MIN_SEEDS} seeds or more, got {wanted}")
    say = report or (lambda line: None)
    outcomes = []
    for name in slugs:
        found = load_reproduction(name, top)
        if smoke:
            _measure(found, 0, "smoke")
            outcomes.append(Outcome(name, {}, None))
            say(f"{name}: runs")
        else:
            first = found.first_seed
            chosen = range(first, first + wanted) if isinstance(wanted, int) else wanted
            outcomes.append(_reproduce(found, chosen, budget or "cpu", say))
    return outcomes


def _reproduce(
    found: Reproduction, seeds: Sequence[int], budget: str, say: Callable[[str], None]
) -> Outcome:
    if budget not in found.budgets or budget == "smoke":
        known = sorted(set(found.budgets) - {"smoke"})
        raise ConfigError(f"{found.slug}: no budget {budget!r} for claims; known: {known}")
    file = found.file.parent / "results" / f"{found.slug}.json"
    key = _key(found, budget)
    runs = {run["seed"]: run for run in _earlier(file) if run["key"] == key}
    for seed in seeds:
        if seed not in runs:
            runs[seed] = _measure(found, seed, budget) | {"key": key}
            _write(file, found, budget, runs)
        say(f"{found.slug}: seed {seed}, {runs[seed]['seconds']:.0f} s")
    return Outcome(found.slug, _write(file, found, budget, runs), file)


def _measure(found: Reproduction, seed: int, budget: str) -> dict[str, Any]:
    start = time.perf_counter()
    measured = found.run(seed, found.budgets[budget])
    seconds = time.perf_counter() - start
    stated = {claim.id for claim in found.claims}
    if measured.keys() != stated:
        raise ConfigError(
            f"{found.file}: run() measured {sorted(measured)}, the claims are {sorted(stated)}"
        )
    values = {name: asdict(measurement) for name, measurement in measured.items()}
    return {"seed": seed, "seconds": round(seconds, 1), "measurements": values} | _provenance()


def _write(
    file: Path, found: Reproduction, budget: str, runs: Mapping[int, Mapping[str, Any]]
) -> dict[str, Verdict]:
    ordered = [runs[seed] for seed in sorted(runs)]
    verdicts: dict[str, Verdict] = {}
    rows = []
    for claim in found.claims:
        measurements = [Measurement(**run["measurements"][claim.id]) for run in ordered]
        verdicts[claim.id] = judge(claim, measurements)
        rows.append(asdict(claim) | {"verdict": asdict(verdicts[claim.id])})
    values = {
        "slug": found.slug,
        "budget": {"name": budget, "value": _plain(found.budgets[budget])},
        "claims": rows,
        "runs": ordered,
    }
    file.parent.mkdir(exist_ok=True)
    # JSON has no infinity; an interval without ends is stored with nulls.
    text = json.dumps(_finite(values), indent=1, allow_nan=False)
    with replacing(file) as part:
        part.write_text(text + "\n", encoding="utf-8")
    return verdicts


def stored(file: Path) -> dict[str, Any]:
    """Return a results file, empty where there is none; :class:`ConfigError` if it is damaged."""
    if not file.exists():
        return {}
    try:
        values: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"{file}: is damaged: take it from the repository again, or remove it ({error})"
        ) from error
    return values


def _earlier(file: Path) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = stored(file).get("runs", [])
    return runs


def _key(found: Reproduction, budget: str) -> str:
    """Return a digest of what decides a seed's numbers: both sources, the recipe, the budget."""
    digest = hashlib.sha256()
    for path in _sources(found):
        digest.update(path.read_bytes())
    digest.update(json.dumps(_plain(found.budgets[budget]), sort_keys=True).encode())
    return digest.hexdigest()[:12]


def _sources(found: Reproduction) -> Iterator[Path]:
    yield found.file
    recipe = found.file.parent.parent / "recipes" / f"{found.slug}.yaml"
    if recipe.exists():
        yield recipe
    entry = catalogue().get(found.slug)
    if entry is not None:
        package = Path(__file__).resolve().parents[1]
        place = package.joinpath(*entry.module.split(".")[1:])
        module = place.with_suffix(".py")
        # A package may declare its system in a module of it; all of it decides.
        whole = place.parent if place.name == "system" else place
        yield from sorted(whole.rglob("*.py")) if whole.is_dir() else [module]


def _provenance() -> dict[str, Any]:
    return {
        "device": _device(),
        "packages": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
    }


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return f"CPU, {platform.machine()}, {torch.get_num_threads()} threads"


def _version(name: str) -> str | None:
    if name == "vultus":
        # Importing the package by name would draw in all its rooms for import-linter.
        return str(sys.modules["vultus"].__version__)
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the checkout, with a plus where the sources differ from it."""
    root = Path(__file__).resolve().parents[3]
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "src", "recipes", "reproductions/*.py")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=True)
    return done.stdout.decode().strip()


def _import(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"reproduction_{file.stem}", file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file}: cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _plain(value: Any) -> Any:
    return value if isinstance(value, Mapping | int | float | str) else asdict(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
