"""The instrument's own proof in words: did it notice each fault that was made on purpose? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.model.controls import Control, ControlKind
from harness.model.errors import Exit
from harness.model.outcomes import Outcome, Verdict
from reports.analysis.cells import ControlSummary
from reports.analysis.conclusion import named
from reports.analysis.tables import RunSummary
from reports.text import shorten
from reports.words.outcomes import found


def escaped(run: RunSummary) -> Iterator[tuple[str, Exit]]:
    """List the failed parts of the proof, each with its exit code; sum up the parts that did not run."""
    absent: dict[Verdict, list[ControlSummary]] = {}
    for each in run.controls:
        if run.interrupted and each.verdict.outcome is Outcome.MISSING:
            continue  # the verdict counts it
        if each.exit_code is Exit.INCOMPLETE:
            absent.setdefault(each.verdict, []).append(each)
        elif not each.detected:
            yield f"{named(each.control)}: {came(each)}", each.exit_code
    for first, *others in absent.values():
        more = f" and {len(others)} more" if others else ""
        yield f"{named(first.control)}{more}: {came(first)}", first.exit_code


def came(each: ControlSummary) -> str:
    """Return the result of a control: the right finding, or the wrong one beside the right one."""
    if not (failed := failure(each)):
        return must_be(each.control)
    told = f"{failed}: {found(each.verdict)} ({shorten(each.verdict.reason)})"
    return told if each.exit_code is Exit.INCOMPLETE else f"{told}, must be {must_be(each.control)}"


def failure(each: ControlSummary) -> str:
    """Say how a control failed; empty if it did not."""
    if each.detected:
        return ""
    if each.exit_code is Exit.INCOMPLETE:
        return "NOT RUN"
    return "FALSE ALARM" if each.control.kind is ControlKind.NEUTRAL else "NOT DETECTED"


def must_be(control: Control) -> str:
    """Return the finding that a control must have: `inconsistent disk-ahead`."""
    return " ".join(filter(None, (control.outcome, control.anomaly)))


def score(run: RunSummary) -> tuple[str, ...]:
    """Sum up the instrument's own proof, a line for each kind."""
    told = [f"canary: {_canary(each)}" for each in run.of_kind(ControlKind.CANARY)]
    controls, absent = _played(run, ControlKind.CONTROL)
    if absent and not controls:
        told.append(f"controls: none of {absent} ran")
    elif controls:
        told.append(f"controls: {_detected(controls)} of {len(controls)} detected{_missing(absent)}")
    else:
        told.append("controls: none ran")
    if run.mutants:
        (mutants, some), (neutral, others) = (_played(run, kind) for kind in (ControlKind.MUTANT, ControlKind.NEUTRAL))
        detected = f"detected {_detected(mutants)}/{len(mutants)}{_missing(some)}"
        alarms = f"false alarms {len(neutral) - _detected(neutral)}/{len(neutral)}{_missing(others)}"
        told.append(f"mutants: {detected}, {alarms}")
    return tuple(told)


def _canary(each: ControlSummary) -> str:
    if each.exit_code is Exit.INCOMPLETE:
        return "not run"
    return f"{'red, as it must be' if each.detected else 'NOT RED'}: {found(each.verdict)}"


def _played(run: RunSummary, kind: ControlKind) -> tuple[list[ControlSummary], int]:
    """Return the controls of a kind that ran, and the number that did not run and so prove nothing."""
    every = run.of_kind(kind)
    played = [each for each in every if each.exit_code is not Exit.INCOMPLETE]
    return played, len(every) - len(played)


def _missing(absent: int) -> str:
    return f" ({absent} not run)" if absent else ""


def _detected(controls: Iterable[ControlSummary]) -> int:
    return sum(each.detected for each in controls)
