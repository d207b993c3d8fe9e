"""Changes of a participant or a component from run to run, as an Atom feed (RFC 4287). Pure.

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
from reports.analysis.cells import CellSummary
from reports.analysis.compare import Comparison, Kind, compare
from reports.analysis.participants import Participant, participants, parts, sides
from reports.analysis.tables import RunSummary
from reports.formats.results import cut, moment, stable
from reports.paths import OVERVIEW, component_feed, feed_of
from reports.text import counted
from reports.words.outcomes import VERDICTS

ATOM = "http://www.w3.org/2005/Atom"
MOST_RUNS = 30
"""Newest runs that a feed covers."""

MOST_CELLS = 20
"""Cells that an entry names for each difference."""

LEFT_OUT = "Only the differences from run to run. The site has all results."


class Subject(NamedTuple):
    """What a feed is about: a participant, or a component."""

    name: str
    place: str
    """Path of the feed."""
    page: str


class Entry(NamedTuple):
    """The news of a run for a subject."""

    run: RunSummary
    title: str
    content: Markup


def render(run: RunSummary, before: Sequence[RunSummary] = ()) -> Iterator[tuple[str, str]]:
    """Yield the feed of each participant and of each component, with its path; `before`: older runs, oldest first.

    A participant that the run leaves out keeps its feed. Its absence is the newest entry.
    """
    entries: dict[Subject, list[Entry]] = {each: [] for one in (run, *reversed(before)) for each in _subjects(one)}
    runs = (*before, run)
    pairs = list(zip((None, *before), runs, strict=True))
    for older, newer in pairs[-MOST_RUNS:]:
        for subject, entry in _entries(older, newer):
            entries[subject].insert(0, entry)
    for subject, those in entries.items():
        yield subject.place, _feed(subject, run, those)


def _subjects(run: RunSummary) -> dict[Subject, tuple[CellSummary, ...]]:
    """Return the cells of each participant, and of each component that takes part in them."""
    who = participants(run)
    found = {Subject(each.name, feed_of(each.path), each.path): each.cells for each in who}
    for part in parts(run):
        users = {name for names in part.versions.values() for name in names}
        cells = tuple(each for each in run.cells if not users.isdisjoint(sides(each)))
        found[Subject(part.name, component_feed(part.name), f"{OVERVIEW}#components")] = cells
    return found


def _entries(older: RunSummary | None, newer: RunSummary) -> Iterator[tuple[Subject, Entry]]:
    """Yield the subjects for which a run has news, and the news."""
    why, comparison = "the first run", None
    if older is not None:
        try:
            comparison = compare(older, newer)
        except NotComparable as error:
            why = f"not compared with {older.plan.run}: {error.what}"
    there = _subjects(older) if older is not None else {}
    now = _subjects(newer)
    for subject, cells in now.items():
        if comparison is None or subject not in there:
            yield (
                subject,
                _verdict(newer, Participant(subject.name, cells), "not in the run before" if comparison else why),
            )
    if comparison is not None:
        for subject, cells in there.items():
            ids = {each.cell.id for each in (*cells, *now.get(subject, ()))}
            if entry := _difference(newer, ids, _versions(subject, comparison), comparison):
                yield subject, entry


def _verdict(run: RunSummary, each: Participant, why: str) -> Entry:
    code = Exit.BLIND if run.conclusion.exit_code is Exit.BLIND else each.exit_code
    told = Markup("<p>{}; {}.</p>").format(cut(each.sentence), cut(why))
    return Entry(run, VERDICTS[code], told)


def _versions(subject: Subject, comparison: Comparison) -> str:
    """List the versions that differ for a participant; or those of a component, wherever it is."""
    own = comparison.versions.get(subject.name, ())
    wide = (each for changed in comparison.versions.values() for each in changed if each.what == subject.name)
    return ", ".join(dict.fromkeys(map(str, (*own, *wide))))


def _difference(run: RunSummary, ids: set[str], versions: str, comparison: Comparison) -> Entry | None:
    """Describe the differences in some cells and versions; None if there are none."""
    known = (each for each in comparison.cells if each.kind is Kind.SOMETIMES and each.known)
    usual = {each.cell.id for each in known}
    own = tuple(each for each in comparison.cells if each.cell.id in ids - usual)
    findings = comparison.model_copy(update={"cells": own}).findings
    added, left_out = ([each for each in those if each in ids] for those in (comparison.added, comparison.left_out))
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


def _listed(what: str, cells: Sequence[str]) -> Markup:
    names = [cut(cell) for cell in cells[:MOST_CELLS]]
    more = [f"and {len(cells) - MOST_CELLS} more"] if len(cells) > MOST_CELLS else []
    items = Markup("").join(Markup("<li>{}</li>").format(each) for each in (*names, *more))
    return Markup("<p>{}</p><ul>{}</ul>").format(cut(what), items)


def _feed(subject: Subject, run: RunSummary, entries: Sequence[Entry]) -> str:
    name, place, page = subject
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
