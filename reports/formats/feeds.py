"""Changes of a participant from run to run, as an Atom feed (RFC 4287). Pure.

A feed has an entry for each run with a difference, for the first run, and for each run that cannot be compared. What
shows as often as its known issue declares is no news.
`feedgen` needs lxml for a dozen elements, and has had no release since 2023.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree as ET

from markupsafe import Markup

from harness.model.errors import Exit, NotComparable
from reports.analysis import newest
from reports.analysis.compare import Comparison, Kind, compare
from reports.analysis.participants import Participant, participants
from reports.analysis.tables import RunSummary, counted
from reports.formats.results import cut, moment, stable
from reports.paths import feed_of, participant_page
from reports.words.outcomes import VERDICTS

ATOM = "http://www.w3.org/2005/Atom"
MOST_RUNS = 30
"""Newest runs that a feed covers."""

MOST_CELLS = 20
"""Cells that an entry names for each difference."""

LEFT_OUT = "Only the differences from run to run. The site has all results."


class Entry(NamedTuple):
    """The news of a run for a participant."""

    run: RunSummary
    title: str
    content: Markup


def render(run: RunSummary, before: Sequence[RunSummary] = ()) -> Iterator[tuple[str, str]]:
    """Yield the feed of each participant with its path; `before`: older runs, oldest first.

    A participant that the run leaves out keeps its feed. Its absence is the newest entry.
    """
    entries: dict[str, list[Entry]] = {each.name: [] for _, those in newest.who(run, before) for each in those}
    runs = (*before, run)
    pairs = list(zip((None, *before), runs, strict=True))
    for older, newer in pairs[-MOST_RUNS:]:
        for name, entry in _entries(older, newer):
            entries[name].insert(0, entry)
    for name, those in entries.items():
        yield feed_of(participant_page(name)), _feed(name, run, those)


def _entries(older: RunSummary | None, newer: RunSummary) -> Iterator[tuple[str, Entry]]:
    """Yield the participants for which a run has news, and the news."""
    why, comparison = "the first run", None
    if older is not None:
        try:
            comparison = compare(older, newer)
        except NotComparable as error:
            why = f"not compared with {older.plan.run}: {error.what}"
    there = {each.name for each in participants(older)} if older is not None else set()
    for each in participants(newer):
        if comparison is None or each.name not in there:
            yield each.name, _verdict(newer, each, why if comparison is None else "not in the run before")
    if older is not None and comparison is not None:
        for name in there:
            if entry := _difference(older, newer, name, comparison):
                yield name, entry


def _verdict(run: RunSummary, each: Participant, why: str) -> Entry:
    code = Exit.BLIND if run.conclusion.exit_code is Exit.BLIND else each.exit_code
    told = Markup("<p>{}; {}.</p>").format(cut(each.sentence), cut(why))
    return Entry(run, VERDICTS[code], told)


def _difference(older: RunSummary, run: RunSummary, name: str, comparison: Comparison) -> Entry | None:
    """Describe the differences in a participant's cells and versions; None if there are none."""
    own = tuple(
        each
        for each in comparison.cells
        if name in (str(each.cell.checkpoint), str(each.cell.restore))
        and not (each.kind is Kind.SOMETIMES and each.known)
    )
    findings = comparison.model_copy(update={"cells": own}).findings
    added, left_out = _of(name, run, comparison.added), _of(name, older, comparison.left_out)
    versions = ", ".join(map(str, comparison.versions.get(name, ())))
    kinds = Counter(each.kind for each in own if each.kind is not None)
    titles = [f"{kinds[kind]} {kind}" for kind in Kind if kinds[kind]]
    titles += [f"{counted(len(added), 'cell')} more"] * bool(added)
    titles += [f"{counted(len(left_out), 'cell')} fewer"] * bool(left_out)
    titles += [f"versions: {versions}"] * bool(versions)
    if not titles:
        return None
    told = [_listed(f"{each.kind}: {each.sentence}", each.cells) for each in findings]
    told += [_listed("not tried before", added)] if added else []
    told += [_listed("not part of this run", left_out)] if left_out else []
    told += [Markup("<p>{}</p>").format(cut(f"versions: {versions}"))] if versions else []
    return Entry(run, cut(", ".join(titles)), Markup("").join(told))


def _of(name: str, run: RunSummary, ids: Sequence[str]) -> list[str]:
    """Return the cells of a participant among those with these ids."""
    cells = run.by_id
    return [each for each in ids if name in (str(cells[each].cell.checkpoint), str(cells[each].cell.restore))]


def _listed(what: str, cells: Sequence[str]) -> Markup:
    names = [cut(cell) for cell in cells[:MOST_CELLS]]
    more = [f"and {len(cells) - MOST_CELLS} more"] if len(cells) > MOST_CELLS else []
    items = Markup("").join(Markup("<li>{}</li>").format(each) for each in (*names, *more))
    return Markup("<p>{}</p><ul>{}</ul>").format(cut(what), items)


def _feed(name: str, run: RunSummary, entries: Sequence[Entry]) -> str:
    place, page = feed_of(participant_page(name)), participant_page(name)
    alternate = posixpath.relpath(page, posixpath.dirname(place))
    root = ET.Element("feed", xmlns=ATOM)
    _add(root, "id", f"tag:stillframe,2026:feeds/{quote(stable(name))}")
    _add(root, "title", f"stillframe: {cut(name)}")
    _add(root, "subtitle", LEFT_OUT)
    _add(root, "updated", moment((entries[0].run if entries else run).plan.created_ns))
    _add(root, "generator", "stillframe", version=cut(run.plan.stillframe))
    _add(_add(root, "author"), "name", "stillframe")
    _add(root, "link", rel="self", type="application/atom+xml", href=posixpath.basename(place))
    _add(root, "link", rel="alternate", type="text/html", href=alternate)
    for each in entries:
        made = moment(each.run.plan.created_ns)
        entry = _add(root, "entry")
        _add(entry, "id", f"tag:stillframe,{made[:10]}:{quote(stable(each.run.plan.run))}/{quote(stable(name))}")
        _add(entry, "title", f"{cut(name, 200)}: {each.title}")
        _add(entry, "updated", made)
        _add(entry, "link", rel="alternate", type="text/html", href=alternate)
        _add(entry, "content", str(each.content), type="html")
    ET.indent(root, " ")
    return f"<?xml version='1.0' encoding='utf-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, tag, attributes)
    child.text = text
    return child
