"""Paths in a report's folder: pages, and files for other tools. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from harness.model.cells import Cell

OVERVIEW = "index.html"
JUNIT = "junit.xml"
CTRF = "ctrf.json"
ALLURE = "allure-results"
BADGE = "badges/run.svg"
INDEX = "api/v1/index.json"
LONGEST_NAME = 180
"""Characters of a page's name. A file name may have 255 bytes."""


class Tool(NamedTuple):
    """A file for other tools, as the site lists it. The path of a folder ends with a slash."""

    path: str
    what: str


TOOLS = (
    Tool(INDEX, "JSON index with the addresses of all cells, participants and the files below"),
    Tool(JUNIT, "JUnit XML"),
    Tool(CTRF, "Common Test Report Format"),
    Tool(f"{ALLURE}/", "results for Allure, version 2 or 3"),
    Tool(BADGE, "the verdict as a badge; each participant and each cell has its own badge, too"),
)


def badge_of(page: str) -> str:
    """Return the path of the badge of a cell or participant, from the path of its page."""
    return f"badges/{page.removesuffix('.html')}.svg"


def document_of(page: str) -> str:
    """Return the path of the JSON document of a cell or participant, from the path of its page."""
    return f"api/v1/{page.removesuffix('.html')}.json"


def feed_of(page: str) -> str:
    """Return the path of a participant's feed, from the path of its page."""
    return f"feeds/{page.removesuffix('.html').removeprefix('participants/')}.atom"


def component_feed(name: str) -> str:
    """Return the path of the feed of a component: `criu`, `runc`."""
    return f"feeds/components/{_file_name(name)}.atom"


def page_of(cell: Cell) -> str:
    """Return the path of a cell's page, the same in every run: its id, in characters that a file name may have."""
    return f"cells/{_file_name(cell.slug)}.html"


def participant_page(name: str) -> str:
    """Return the path of a participant's page."""
    return f"participants/{_file_name(name.replace('/', '_'))}.html"


def _file_name(text: str) -> str:
    name = re.sub(r"[^\w.@~+-]", "-", text, flags=re.ASCII)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
