"""The site of a run and of the runs before it: static, self-contained, and complete without scripts.

Input: summaries of runs. Output: pages with their paths. Every page says the same without colours and charts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from markupsafe import Markup

from harness.model.outcomes import Outcome
from harness.records.run_files import make_folder, write_aside
from reports import paths
from reports.analysis import claims, newest
from reports.analysis.cells import CellSummary
from reports.analysis.compare import Comparison
from reports.analysis.participants import Health, participants, parts
from reports.analysis.pauses import pauses_of
from reports.analysis.remedies import remedies
from reports.analysis.tables import RunSummary
from reports.analysis.turns import Turn, good, turn
from reports.pages import charts
from reports.pages.html import detailed_trials, environment
from reports.paths import page_of
from reports.progress import shown
from reports.words.suggestion import suggested


class Page(NamedTuple):
    """A page of the site."""

    path: str
    title: str
    template: str


OVERVIEW = Page(paths.OVERVIEW, "Overview", "overview.html.j2")
PAGES = (
    OVERVIEW,
    Page("consistency.html", "Consistency", "consistency.html.j2"),
    Page("interoperability.html", "Interoperability", "interoperability.html.j2"),
    Page("sameness.html", "The same container", "sameness.html.j2"),
    Page("faults.html", "When something fails", "faults.html.j2"),
    Page("secrets.html", "Secrets", "secrets.html.j2"),
    Page("claims.html", "Claimed and observed", "claims.html.j2"),
    Page("known.html", "Known issues", "known.html.j2"),
    Page("proof.html", "Proof", "proof.html.j2"),
)
HISTORY = Page("history.html", "History", "history.html.j2")
COMPARE = Page("compare.html", "Compare", "compare.html.j2")


def write_site(
    run: RunSummary, folder: Path, *, before: Sequence[RunSummary] = (), comparison: Comparison | None = None
) -> Path:
    """Write the site of a run; `before`: older runs, oldest first. Return the path of its overview."""
    pages = enumerate(render(run, before=before, comparison=comparison))
    most = len(PAGES) + len(participants(run)) + len(run.cells)
    for _, (name, text) in shown(pages, "writing", most, lambda each: each[0]):
        path = folder / name
        make_folder(path.parent)
        write_aside(path, text)
    return folder / OVERVIEW.path


def render(
    run: RunSummary, *, before: Sequence[RunSummary] = (), comparison: Comparison | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the pages with their paths."""
    pages = (*PAGES, *([HISTORY] if before else ()), *([COMPARE] if comparison else ()))
    who = participants(run)
    lasts = tuple(newest.cells(run, before))
    shared: dict[str, Any] = {
        "run": run,
        "pages": pages,
        "participants": who,
        "components": parts(run),
        "states": Counter(sorted((each.health(run) for each in who), key=[*Health].index, reverse=True)),
        "picture": charts.picture,
        "key": charts.key,
        "curves": charts.curves,
        "numbered": charts.numbered,
        "issues": {each.expectation: number for number, each in enumerate(run.known_issues, 1)},
        "by_id": {each.cell.id: each for _, cells in lasts for each in cells},
        "comparison": comparison,
        "outcomes": sorted({each for cell in run.cells for each in cell.counts}, key=lambda each: each.severity),
    }
    templates = environment()
    shared |= {"past": _past((*before, run)), "turns": _turns((*before, run))} if before else {"past": {}, "turns": {}}
    for page in pages:
        more: dict[str, Any] = {}
        if page.path == "consistency.html":
            more["pauses"] = charts.pauses(run.cells)
            more["sized"] = pauses_of(trial for cell in run.cells for trial in cell.trials)
        if page.path == "claims.html":
            more["claims"] = tuple(claims.held(run))
        if page.path == "known.html":
            more["entries"] = suggested(run)
        if page is HISTORY:
            more |= {"runs": (*before, run), "changes": tuple(_changes((*before, run))), "past": _turned_first(shared)}
        yield page.path, templates.get_template(page.template).render(shared | more, page=page, root="")
    for tried, those in newest.who(run, before):
        for each in those:
            page = Page(each.path, each.name, "participant.html.j2")
            more = {"run": tried, "untried": tried is not run, "page": page, "participant": each, "root": "../"}
            yield page.path, templates.get_template(page.template).render(shared | more)
    for tried, cells in lasts:
        yield from _cells(cells, tried, shared | {"run": tried, "untried": tried is not run})


def _cells(cells: Sequence[CellSummary], run: RunSummary, shared: dict[str, Any]) -> Iterator[tuple[str, str]]:
    looks, template = detailed_trials(run), environment().get_template("cell.html.j2")
    for each in cells:
        cell = each.cell
        page = Page(page_of(cell), cell.id, "cell.html.j2")
        names = (cell.workload, *(f"{side.runtime}+{cell.way}".rstrip("+") for side in (cell.checkpoint, cell.restore)))
        yield (
            page.path,
            template.render(
                **shared,
                page=page,
                root="../",
                cell=each,
                sides=tuple(dict.fromkeys((str(cell.checkpoint), str(cell.restore)))),
                glossary={name.replace("+", " "): run.plan.words[name] for name in names if name in run.plan.words},
                looks=looks[cell.id],
                distribution=charts.distribution(each),
                bad=not (good(each) and each.as_expected) or bool(each.crashed),
                remedies=() if good(each) else tuple(remedies(each, run)),
            ),
        )


def _past(runs: Sequence[RunSummary]) -> dict[str, Markup]:
    """Return a strip of outcomes for each cell of any run; cells with different outcomes come first."""
    every = [(run.plan.run, run.by_id) for run in runs]
    outcomes: dict[str, set[Outcome]] = {}
    for _, cells in reversed(every):
        for name, each in cells.items():
            outcomes.setdefault(name, set()).add(each.outcome)
    names = sorted(outcomes, key=lambda name: len(outcomes[name]) == 1)
    return {cell: charts.strip([_at(name, cells.get(cell)) for name, cells in every]) for cell in names}


def _turns(runs: Sequence[RunSummary]) -> dict[str, Turn]:
    """Return the last change of each cell of any run that has a result."""
    every = [(run, run.by_id) for run in runs]
    names = dict.fromkeys(name for _, cells in every for name in cells)
    return {name: found for name in names if (found := turn([(run, cells.get(name)) for run, cells in every]))}


def _turned_first(shared: dict[str, Any]) -> dict[str, Markup]:
    """Put the cells that were good in one run and bad in another one first."""
    past, turns = shared["past"], shared["turns"]
    return dict(sorted(past.items(), key=lambda item: item[0] not in turns or turns[item[0]].before is None))


def _at(run: str, cell: CellSummary | None) -> charts.Past:
    if cell is None:
        return charts.Past(run, None)
    sides = cell.components.items() if cell.cell.restore != cell.cell.checkpoint else [("", cell.versions)]
    return charts.Past(
        run, cell.outcome, {f"{side} {each.name}".strip(): each.told for side, listed in sides for each in listed}
    )


def _changes(runs: Sequence[RunSummary]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield participant, component and its version in each run, if the versions differ."""
    seen: dict[tuple[str, str], list[str]] = {}
    for number, run in enumerate(runs):
        for who, components in run.versions.items():
            for each in components:
                listed = seen.setdefault((who, each.name), [""] * len(runs))
                listed[number] = ", ".join(filter(None, (listed[number], each.told)))
    for (who, name), listed in seen.items():
        if len(set(filter(None, listed))) > 1:
            yield who, name, tuple(listed)
