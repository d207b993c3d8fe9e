"""Titles, headings and notes of tables."""

from __future__ import annotations

from collections import Counter

from harness.model.cells import Scenario
from harness.records.plan import Plan
from reports.analysis.tables import Column, Row, Table
from reports.text import counted
from reports.words.cells import mark
from reports.words.outcomes import HOLDERS, SCENARIOS


def title(table: Table) -> str:
    """Name a table: `workload ledger`, or `surfaces and scenarios` for a table of several questions."""
    if not (table.by_policy or table.by_pair):
        return "surfaces" if all(each.scenario is Scenario.LIVE for each in table.columns) else "surfaces and scenarios"
    first = table.columns[0]
    asked = "" if first.scenario is Scenario.LIVE else f"scenario {first.scenario}: "
    if table.by_pair:
        return f"{asked}cross-restore, workload {first.workload}"
    return f"{asked}workload {first.workload}"


def glossary(words: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """List the names in ids by their meaning; ways as rows write them: `docker/runc commit`."""
    found: dict[str, tuple[str, ...]] = {}
    for name, meaning in words.items():
        found[meaning] = (*found.get(meaning, ()), name.replace("+", " "))
    return found


def heading(column: Column) -> str:
    """Name a column by its policy, its workload, or its scenario and workload."""
    if column.policy or column.restore:
        return column.policy or column.restore
    return column.workload if column.scenario is Scenario.LIVE else f"{column.scenario}: {column.workload}"


def meaning(column: Column) -> str:
    """Explain a column: who freezes the container, or which surfaces are read."""
    if column.restore:
        return "restores"
    return HOLDERS[column.policy] if column.policy else ", ".join(column.surfaces)


def scenarios(table: Table) -> dict[Scenario, str]:
    """Explain the scenarios of a table, all but the plain one."""
    asked = {column.scenario for column in table.columns} - {Scenario.LIVE}
    return {scenario: told for scenario, told in SCENARIOS.items() if scenario in asked}


def row_summary(row: Row) -> str:
    """Sum up a row: `2 of 4 consistent, 1 other expected outcome, 1 known issue`."""
    cells = [each for each in row.entries if each]
    good = sum(mark(each) == "" for each in cells)
    others = Counter(mark(each) for each in cells if mark(each))
    how = {"expected": "other expected outcome", "known": "known issue"}
    told = (counted(count, how[each]) if each in how else f"{count} {each}" for each, count in others.items())
    return ", ".join((f"{good} of {len(cells)} consistent", *told))


def marks(numbers: tuple[int, ...]) -> str:
    """Write the numbers of footnotes: ` [1,3]`; empty if there are none."""
    return f" [{','.join(map(str, numbers))}]" if numbers else ""


def extent(plan: Plan) -> str:
    """Write the size of a plan: `24 cells, 5 trials each`, `24 cells, up to 59 trials each`."""
    rounds = sorted({plan.rounds_of(cell) for cell in plan.cells}) or [plan.rounds]
    each = f"{rounds[0]} to {rounds[-1]}" if len(rounds) > 1 else str(rounds[0])
    most = "up to " if plan.rate is not None and len(rounds) == 1 else ""
    return f"{counted(len(plan.cells), 'cell')}, {most}{each} {'trial' if each == '1' else 'trials'} each"
