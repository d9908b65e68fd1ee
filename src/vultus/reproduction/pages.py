"""Tables of systems and of what was reproduced; no PyTorch needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vultus.registry import catalogue
from vultus.reproduction.runner import repository, stored

HEAD = """\
# Reproductions

What the published systems claim, re-measured at a small scale. Method and baseline see the same
data, steps and seeds. A claim is *supported* or *not supported* only where the whole 95 % interval
of the difference (method minus baseline) lies on one side of its margin; otherwise it is
*inconclusive*. The intervals hold for each claim by itself.

Made by `vultus reproduce --page` from `reproductions/results/`; each claim is measured anew by
`vultus reproduce SLUG`.
"""


@dataclass(frozen=True, slots=True)
class SystemRow:
    """One system of the catalogue.

    Parameters
    ----------
    slug, paper, task, summary
        See :class:`vultus.registry.Entry`.
    recipe, reproduction
        Whether the files exist.
    verdicts
        Number of claims by outcome; empty where nothing was measured.
    """

    slug: str
    paper: int
    task: str
    summary: str
    recipe: bool
    reproduction: bool
    verdicts: Mapping[str, int]


def systems_table(root: Path | None = None) -> list[SystemRow]:
    """Return a row for every system, in the order of the papers."""
    top = root or repository()
    rows = []
    for slug, entry in catalogue().items():
        claims = _result(top, slug).get("claims", [])
        rows.append(
            SystemRow(
                slug,
                entry.paper,
                entry.task,
                entry.summary,
                (top / "recipes" / f"{slug}.yaml").exists(),
                (top / "reproductions" / f"{slug}.py").exists(),
                Counter(claim["verdict"]["outcome"] for claim in claims),
            )
        )
    return rows


def render_page(root: Path | None = None, out: Path | None = None) -> str:
    """Write ``docs/reproductions.md`` from the stored results, and return its text.

    Parameters
    ----------
    root
        Folder that holds ``reproductions/``.
    out
        Another file to write.
    """
    top = root or repository()
    papers = {slug: entry.paper for slug, entry in catalogue().items()}
    slugs = [p.stem for p in (top / "reproductions" / "results").glob("*.json")]
    ordered = sorted(slugs, key=lambda slug: (papers.get(slug, 999), slug))
    text = "\n".join([HEAD, *(_section(_result(top, slug)) for slug in ordered)])
    target = out or top / "docs" / "reproductions.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    return text


def _section(result: Mapping[str, Any]) -> str:
    runs = result["runs"]
    lines = [
        f"## {result['slug']}",
        "",
        "| claim | metric | method | baseline | difference (95 % interval) | n | verdict |",
        "|-|-|-|-|-|-|-|",
    ]
    for claim in result["claims"]:
        values = [run["measurements"][claim["id"]] for run in runs]
        sides = [_mean([v[side] for v in values]) for side in ("method", "baseline")]
        lines.append(
            f"| {_cell(claim['sentence'])} | {_cell(claim['metric'])} | {sides[0]} | {sides[1]} "
            f"| {_interval(claim['verdict']['interval'])} | {values[0]['n']} "
            f"| **{claim['verdict']['outcome']}** |"
        )
    seconds = sum(run["seconds"] for run in runs) / len(runs)
    commits = sorted({str(run["commit"])[:12] for run in runs})
    lines += [
        "",
        f"{len(runs)} seeds, {seconds:.0f} s each, budget `{result['budget']['name']}`, "
        f"{runs[0]['device']}, torch {runs[0]['packages']['torch']}, commit {', '.join(commits)}.",
        "",
        *_trivial(runs),
    ]
    return "\n".join(lines)


def _trivial(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what five hand features reach on the same data, where a reproduction measured it."""
    measured = [m["details"]["cues"] for run in runs for m in run["measurements"].values()
                if "cues" in m["details"]]  # fmt: skip
    if not measured:
        return []
    names = [name for name in ("hter", "acer", "eer", "test_eer") if name in measured[0]]
    values = ", ".join(f"{name} {_mean([cues[name] for cues in measured])}" for name in names)
    return [
        "The trivial baseline, five hand features (`vultus.worlds.fit_cues`) on the same "
        f"presentations, threshold from the same development people: {values}.",
        "",
    ]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _interval(interval: Mapping[str, Any]) -> str:
    if interval["low"] is None:
        return f"{interval['mean']:+.4f} (no interval)"
    return f"{interval['mean']:+.4f} ({interval['low']:+.4f} to {interval['high']:+.4f})"


def _mean(values: list[float]) -> str:
    return f"{sum(values) / len(values):.4f}"


def _result(root: Path, slug: str) -> dict[str, Any]:
    return stored(root / "reproductions" / "results" / f"{slug}.json")
