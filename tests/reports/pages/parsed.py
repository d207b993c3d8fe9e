"""The site of a run, its pages parsed."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

from harness.model.cells import Cell
from harness.records.record import Record
from reports.analysis.tables import RunSummary
from reports.formats import write as formats
from reports.pages.site import render
from reports.paths import page_of
from tests.reports.synthetic import MOVING, STILL, plan, summary

FETCHED = {"link", "img", "iframe"}
VOID = {"meta", "br", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Tags, ids, links and text of a page. The tags must close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.scripts: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.fetched: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self.said)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        self.fetched += [tag] if tag in FETCHED and ("rel", "alternate") not in attrs else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        else:
            self.said.append(data)


class Site:
    """All pages of a run."""

    def __init__(self, run: RunSummary, **past: Any) -> None:
        self.run, self.before = run, past.get("before", ())
        self.raw = dict(render(run, **past))
        self.pages = {path: Page(text) for path, text in self.raw.items()}

    def __getitem__(self, path: str) -> Page:
        return self.pages[path]

    def of(self, cell: Cell) -> Page:
        return self.pages[page_of(cell)]

    @property
    def text(self) -> str:
        return "\n".join(page.text for page in self.pages.values())


def site(*records: Record, cells: Iterable[Cell] = (MOVING, STILL), rounds: int = 1) -> Site:
    return Site(summary(plan(cells, rounds), list(records)))


def arrive(found: Site) -> None:
    """Check that every link leads to a page of the site, to a place on it, to a file for other tools, or outside."""
    others = {place for place, _ in formats.render(found.run, before=found.before, now=datetime.now(UTC))}
    for path, page in found.pages.items():
        assert len(page.ids) == len(set(page.ids)), path
        for link in page.links:
            if link.startswith("https://"):
                continue
            address, _, place = link.partition("#")
            name = address.partition("?")[0]
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) if name else path
            assert target in found.pages or target in others, (path, link)
            assert not place or place in found[target].ids, (path, link)
