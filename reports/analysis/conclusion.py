"""The verdict on a run: an exit code for programs, and sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from harness.model.controls import Control
from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from harness.model.values import Frozen
from harness.records.plan import Closing
from harness.records.shard import Shard
from reports.analysis.against import EXIT, Against, Effect
from reports.analysis.cells import CellSummary, ControlSummary, prevailing
from reports.analysis.crashes import KnownCrash, demanded
from reports.analysis.sameness import KnownDifferenceSummary, demanded_of
from reports.text import counted, shorten

LONGEST_REASON = 200
"""Characters of a reason in a sentence."""


MOST_NAMED = 6
"""Cells and controls that a sentence names. It counts the rest."""


class Finding(Frozen):
    """A part of the verdict, with its cells and controls."""

    what: str
    cells: tuple[str, ...] = Field(default=(), description="ids")
    controls: tuple[str, ...] = Field(default=(), description="names and ids")

    def __str__(self) -> str:
        about = (*self.cells, *self.controls)
        more = f" and {len(about) - MOST_NAMED} more" if len(about) > MOST_NAMED else ""
        return f"{self.what}: {', '.join(about[:MOST_NAMED])}{more}." if about else f"{self.what}."


class Conclusion(Frozen):
    """The verdict on a run: an exit code for programs and a sentence for people."""

    exit_code: Exit
    findings: tuple[Finding, ...]

    @property
    def sentence(self) -> str:
        """The verdict, then its cells."""
        return " ".join(map(str, self.findings))

    def joined(self, code: Exit, *findings: Finding) -> Conclusion:
        """Return the conclusion with more findings and their exit code."""
        before = () if self.exit_code is Exit.EXPECTED else self.findings
        return Conclusion(exit_code=prevailing((self.exit_code, code)), findings=(*before, *findings))


def conclude(
    cells: Sequence[CellSummary],
    controls: Sequence[ControlSummary],
    closing: Closing | None,
    unmatched: Sequence[str] = (),
    shard: Shard | None = None,
    *,
    crashes: Sequence[KnownCrash] = (),
    differences: Sequence[KnownDifferenceSummary] = (),
    against: Against | None = None,
) -> Conclusion:
    """Sum up the run, or its one shard; the finding that prevails comes first.

    Where variants are compared with the unmodified stack, the comparison decides, and not what was expected.
    """
    findings = [*_amiss(() if against else cells, controls, closing, unmatched, () if against else crashes)]
    findings += [
        (Exit.UNEXPECTED, Finding(what=f"Known difference: {demanded_of(each)}"))
        for each in (() if against else differences)
        if each.unlike
    ]
    findings += _compared(against) if against else ()
    if not (cells or shard):
        findings.append((Exit.INCOMPLETE, Finding(what="Nothing was planned, so there is no result")))
    if closing is None:
        findings.append((Exit.INCOMPLETE, Finding(what="The run did not finish")))
    elif closing.interrupted and (told := _interrupted(cells, controls)):
        findings.append((Exit.INCOMPLETE, Finding(what=f"Interrupted by {closing.interrupted}: {told}")))
    if not findings:
        what = _all_well(cells, crashes) if cells else "It has no cell of this run"
        if against:
            what = _as_before(against)
        findings.append((Exit.EXPECTED, Finding(what=what)))
    if shard:
        code, first = findings[0]
        findings[0] = code, first.model_copy(update={"what": f"Shard {shard}: {first.what}"})
    return Conclusion(
        exit_code=prevailing({code for code, _ in findings}), findings=tuple(finding for _, finding in findings)
    )


def _interrupted(cells: Sequence[CellSummary], controls: Sequence[ControlSummary]) -> str:
    """Say how much of an interrupted run is complete; empty if all of it is."""
    done = sum(not each.missing for each in cells)
    played = sum(each.verdict.outcome is not Outcome.MISSING for each in controls)
    if (done, played) == (len(cells), len(controls)):
        return ""
    proof = f" and {played} of {counted(len(controls), 'control')}" if controls else ""
    return f"{done} of {counted(len(cells), 'cell')}{proof} are complete"


def _all_well(cells: Sequence[CellSummary], crashes: Sequence[KnownCrash]) -> str:
    trials = counted(sum(each.n for each in cells), "trial")
    known = sum(each.known for each in cells)
    which = "The cell is" if len(cells) == 1 else f"All {len(cells)} cells are"
    with_issue = f", {'' if len(cells) == 1 else f'{known} '}with a known issue" if known else ""
    in_cells, crashed = sum(each.crashed for each in cells), sum(each.shown for each in crashes)
    proof = f", {crashed - in_cells} of them in the instrument's own proof" if crashed > in_cells else ""
    told = f"; a known crash struck {counted(crashed, 'trial')}{proof}" if crashed else ""
    return f"{which} as expected{with_issue}, in {trials}{told}"


def _compared(against: Against) -> Iterator[tuple[Exit, Finding]]:
    """Yield what a comparison with the unmodified stack asks for."""
    of_all = f"of {counted(len(against.cells), 'cell')}"
    for effect, what in ((Effect.WORSE, "worse than the unmodified stack"), (Effect.CANNOT_TELL, "nobody can tell")):
        if those := against.of(effect):
            finding = Finding(what=f"{len(those)} {of_all}: {what}", cells=tuple(each.cell.id for each in those))
            yield EXIT[effect], finding


def _as_before(against: Against) -> str:
    better, same = len(against.of(Effect.BETTER)), against.of(Effect.SAME)
    told = f"The same as the unmodified stack in {counted(len(same), 'cell')}"
    if same:
        told += f", as far as {counted(min(each.pairs for each in same), 'pair')} of trials can tell"
    return f"{told}; better in {better}" if better else told


def _crash(each: KnownCrash) -> str:
    return f"Known crash of {each.crash.component}, {each.shown} of {counted(each.trials, 'trial')}: {demanded(each)}"


def _amiss(
    cells: Sequence[CellSummary],
    controls: Sequence[ControlSummary],
    closing: Closing | None,
    unmatched: Sequence[str],
    crashes: Sequence[KnownCrash],
) -> Iterator[tuple[Exit, Finding]]:
    """Yield everything that is not as expected; the finding that prevails comes first."""
    cells_told = cells
    if closing and closing.interrupted:  # what it left out is counted in one finding
        cells_told = [each for each in cells if not each.cut_short]
        controls = [each for each in controls if each.verdict.outcome is not Outcome.MISSING]
    by_code = {code: tuple(each.cell.id for each in cells_told if each.exit_code is code) for code in Exit}
    of_code = {code: tuple(named(each.control) for each in controls if each.exit_code is code) for code in Exit}
    of_all = f"of {counted(len(cells), 'cell')}"
    if by_code[Exit.BLIND] or of_code[Exit.BLIND]:
        what = "The instrument's own proof failed, so no result of this run counts"
        yield Exit.BLIND, Finding(what=what, cells=by_code[Exit.BLIND], controls=of_code[Exit.BLIND])
    if found := by_code[Exit.UNEXPECTED]:
        yield Exit.UNEXPECTED, Finding(what=f"{len(found)} {of_all} not as expected", cells=found)
    if found := of_code[Exit.UNEXPECTED]:
        what = f"{len(found)} of {counted(len(controls), 'control')} ended by a failure of the runtime"
        yield Exit.UNEXPECTED, Finding(what=what, controls=found)
    yield from ((Exit.UNEXPECTED, Finding(what=_crash(each))) for each in crashes if each.unlike)
    leaks = closing.leaks if closing else ()
    for what, which in (("Left behind on the host", leaks), ("Known issues that match no cell", unmatched)):
        if which:
            yield Exit.UNEXPECTED, Finding(what=f"{what}: {', '.join(which)}")
    for why, those in _incomplete(cells_told).items():
        yield Exit.INCOMPLETE, Finding(what=f"{len(those)} {of_all} with incomplete evidence{why}", cells=tuple(those))
    if lacking := of_code[Exit.INCOMPLETE]:
        what = f"{len(lacking)} of {counted(len(controls), 'control')} did not run"
        yield Exit.INCOMPLETE, Finding(what=what, controls=lacking)
    if strays := [each for each in cells if each.strays]:
        count = counted(sum(each.strays for each in strays), "record")
        what = f"{count} from outside the plan, which cannot make a cell green"
        yield Exit.INCOMPLETE, Finding(what=what, cells=tuple(each.cell.id for each in strays))


def _incomplete(cells: Iterable[CellSummary]) -> dict[str, list[str]]:
    """Return the cells with incomplete evidence, by the one reason why they were not tried, or by none."""
    found: dict[str, list[str]] = {}
    for each in cells:
        if each.exit_code is Exit.INCOMPLETE:
            reasons = {trial.verdict.reason if trial.verdict.not_tried else "" for trial in each.trials}
            why = reasons.pop() if len(reasons) == 1 else ""
            found.setdefault(f" ({shorten(why, LONGEST_REASON)})" if why else "", []).append(each.cell.id)
    return found


def named(control: Control) -> str:
    """Name a control and its cell."""
    return f"{control.kind} {control.name} on {control.cell.id}"
