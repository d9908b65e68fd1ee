"""Re-measure what the published systems claim: same data, steps and seeds for both sides."""

from vultus.reproduction.claims import Claim, Measurement
from vultus.reproduction.pages import render_page, systems_table
from vultus.reproduction.runner import reproduce
from vultus.reproduction.verdicts import Interval, Verdict, judge

__all__ = [
    "Claim",
    "Interval",
    "Measurement",
    "Verdict",
    "judge",
    "render_page",
    "reproduce",
    "systems_table",
]
