"""Participants of a run, their cells and their state. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from harness.model.errors import Exit
from harness.model.expectations import Expectation
from harness.model.outcomes import Outcome
from reports.analysis.cells import CellSummary, prevailing
from reports.analysis.crashes import KnownCrash
from reports.analysis.reasons import culprit
from reports.analysis.sameness import KnownDifferenceSummary
from reports.analysis.tables import RunSummary
from reports.paths import participant_page
from reports.text import counted


class Health(StrEnum):
    """The state of a participant."""

    WELL = "all right"
    LIMITED = "all right, within limits"
    KNOWN = "broken in a known way"
    INCOMPLETE = "incomplete"
    UNEXPECTED = "unexpected"
    UNPROVED = "not known"


BY_CODE = {Exit.BLIND: Health.UNPROVED, Exit.UNEXPECTED: Health.UNEXPECTED, Exit.INCOMPLETE: Health.INCOMPLETE}


class Trouble(NamedTuple):
    """Cells with the same trouble: with one known issue, or with one unexpected outcome and one culprit."""

    cells: tuple[CellSummary, ...]
    issue: Expectation | None
    culprit: str

    @property
    def worst(self) -> CellSummary:
        """The cell to look at first."""
        return max(self.cells, key=lambda each: each.outcome.severity)

    @property
    def breaks(self) -> bool:
        """Whether a known issue breaks something; a refusal and a missing feature are limits."""
        issue = self.issue
        return issue is not None and any(each.violates for each in (issue.outcome, *issue.besides))

    @property
    def seen(self) -> bool:
        """Whether it showed in this run; what fails only sometimes may not."""
        return any(each.outcome is not Outcome.CONSISTENT for each in self.cells)


class Participant(NamedTuple):
    """A participant and its cells."""

    name: str
    cells: tuple[CellSummary, ...]

    @property
    def path(self) -> str:
        """Path of its page."""
        return participant_page(self.name)

    @property
    def known(self) -> int:
        """Number of cells that show their known issue."""
        return sum(each.known and each.as_expected for each in self.cells)

    @property
    def exit_code(self) -> Exit:
        """Exit code of its cells alone."""
        return prevailing({Exit.EXPECTED, *(each.exit_code for each in self.cells)})

    @property
    def troubles(self) -> tuple[Trouble, ...]:
        """What is wrong with its cells: the unexpected first, what did not show last, then by number of cells."""
        groups: dict[tuple[object, ...], list[CellSummary]] = {}
        for each in self.cells:
            if not each.as_expected:
                groups.setdefault((each.exit_code, each.outcome, culprit(each)), []).append(each)
            elif each.expectation.link:
                groups.setdefault((Exit.EXPECTED, *_kind(each)), []).append(each)
        found = map(_trouble, groups.values())
        order = list(Exit)
        return tuple(
            sorted(found, key=lambda each: (order.index(each.worst.exit_code), not each.seen, -len(each.cells)))
        )

    def crashes(self, run: RunSummary) -> tuple[KnownCrash, ...]:
        """Return the known crashes of its components, whether or not one struck in this run."""
        own = run.versions.get(self.name, ())
        return tuple(each for each in run.crashes if each.crash.concerns(own))

    def differences(self, run: RunSummary) -> tuple[KnownDifferenceSummary, ...]:
        """Return the known differences of the containers that it restored."""
        own = {each.cell.id for each in self.cells if str(each.cell.restore) == self.name}
        return tuple(each for each in run.differences if own.intersection(each.shown))

    def health(self, run: RunSummary) -> Health:
        """Return its state; nothing is known if the instrument's own proof failed."""
        code = Exit.BLIND if run.conclusion.exit_code is Exit.BLIND else self.exit_code
        if code is not Exit.EXPECTED:
            return BY_CODE[code]
        troubles = self.troubles
        if self.crashes(run) or self.differences(run) or any(each.breaks for each in troubles):
            return Health.KNOWN
        return Health.LIMITED if troubles else Health.WELL

    @property
    def sentence(self) -> str:
        """Results of its cells, in words."""
        unexpected = sum(not each.as_expected for each in self.cells)
        good = sum(each.outcome is Outcome.CONSISTENT for each in self.cells)
        told = f"{good} of {counted(len(self.cells), 'cell')} consistent, {counted(self.known, 'known issue')}"
        return f"{told}, {unexpected} not as expected"


class Part(NamedTuple):
    """A component of participants: `criu`, `runc`."""

    name: str
    versions: dict[str, tuple[str, ...]]
    """Names of participants by the version that they use."""


def parts(run: RunSummary) -> tuple[Part, ...]:
    """List the components of all participants by name."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for who, components in run.versions.items():
        for each in components:
            versions = found.setdefault(each.name, {})
            versions[each.told] = (*versions.get(each.told, ()), who)
    return tuple(Part(name, found[name]) for name in sorted(found))


def participants(run: RunSummary) -> tuple[Participant, ...]:
    """List the participants in the order of the cells, each with the cells in which it checkpoints or restores."""
    found: dict[str, list[CellSummary]] = {}
    for each in run.cells:
        for side in sides(each):
            found.setdefault(side, []).append(each)
    return tuple(Participant(name, tuple(cells)) for name, cells in found.items())


def _kind(each: CellSummary) -> tuple[object, ...]:
    """Return what cells of one trouble share; of cross-restores it is the link, whatever else each of them found."""
    issue, crossing = each.expectation, each.cell.restore != each.cell.checkpoint
    return (issue.link, issue.owner, issue.fix) if crossing else (issue,)


def sides(each: CellSummary) -> tuple[str, ...]:
    """Return the names of a cell's participants, each once."""
    return tuple(dict.fromkeys((str(each.cell.checkpoint), str(each.cell.restore))))


def _trouble(cells: Sequence[CellSummary]) -> Trouble:
    first = cells[0]
    return Trouble(tuple(cells), first.expectation if first.as_expected else None, culprit(first))
