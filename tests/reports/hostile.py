"""A run in which every string is hostile: markup, line breaks, control characters, extreme length."""

from __future__ import annotations

from functools import cache

from harness.model.controls import Control
from harness.model.outcomes import Anomaly, Outcome
from reports.analysis.tables import RunSummary, summarise
from reports.runs.read import with_images
from tests.reports import engines
from tests.reports.analysis.test_images import GOOD, LOST
from tests.reports.synthetic import MOVING, STILL, closing, moving, plan, poisoned, record

POISON = (
    "\"'><script>alert(1)</script>]]></testsuites><!--&lt;{{ 7*7 }}\\u0041=:#%|`x`\r\n\n| --- |\n"
    "\x00\x08\x1b[31m\x7f\x85\u2028\u202e\ufffe\N{GRINNING FACE}javascript:alert(1)" + "x" * 100_000
)
LINES = {"log": ("a line",), "leaks": ("a mount",), "warnings": ("a warning",), "accommodations": engines.WORKAROUNDS}


@cache
def run(poison: str = POISON) -> RunSummary:
    """Return a run with a known issue, a leak, an undetected control, images, and leftovers on the host."""
    found = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
    first, second, third = (poisoned(each.model_copy(update=LINES), poison) for each in found)
    control = Control(name="ring-byte", cell=STILL, outcome=Outcome.INCONSISTENT, anomaly=Anomaly.TORN, what="a byte")
    known = poisoned(engines.AHEAD, poison).model_copy(update={"signature": ""})
    planned = poisoned(plan((MOVING, STILL), 2).model_copy(update={"controls": (control,)}), poison)
    planned = planned.model_copy(
        update={
            "expectations": {first.cell.id: known},
            "controls": tuple(each.model_copy(update={"signature": ""}) for each in planned.controls),
        }
    )
    images = tuple(poisoned(each, poison) for each in (GOOD, LOST))
    images = tuple(
        each.model_copy(update={"expectation": each.expectation.model_copy(update={"signature": ""})})
        for each in images
    )
    return with_images(summarise(planned, [first, second, third], poisoned(closing("a mount"), poison)), images)
