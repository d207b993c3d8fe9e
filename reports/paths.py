"""Paths in the folder of a report: pages, and the forms that other tools read. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

from harness.model.cells import Cell

JUNIT = "junit.xml"
CTRF = "ctrf.json"
ALLURE = "allure-results"
BADGE = "badges/run.svg"
INDEX = "api/v1/index.json"
LONGEST_NAME = 180
"""Letters of a page's name. A file name may have 255 bytes."""


class Tool(NamedTuple):
    """What is there for other tools, as the site names it; a folder's place ends with a slash."""

    path: str
    what: str


TOOLS = (
    Tool(INDEX, "everything by address: cells, participants, and what follows"),
    Tool(JUNIT, "JUnit's XML"),
    Tool(CTRF, "Common Test Report Format"),
    Tool(f"{ALLURE}/", "results for Allure, version 2 or 3"),
    Tool(BADGE, "the verdict as a badge; each participant and each cell has one too"),
)


def badge_of(page: str) -> str:
    """Place of the badge of a cell or participant, by the place of its page."""
    return f"badges/{page.removesuffix('.html')}.svg"


def document_of(page: str) -> str:
    """Place of the JSON document of a cell or participant, by the place of its page."""
    return f"api/v1/{page.removesuffix('.html')}.json"


def feed_of(page: str) -> str:
    """Place of the feed of a participant, by the place of its page."""
    return f"feeds/{page.removesuffix('.html').removeprefix('participants/')}.atom"


def page_of(cell: Cell) -> str:
    """Place of the cell's page in a site, stable from run to run: its id without what a file's name cannot hold."""
    return f"cells/{_file_name(cell.slug)}.html"


def participant_page(name: str) -> str:
    """Place of a participant's page in a site."""
    return f"participants/{_file_name(name.replace('/', '_'))}.html"


def _file_name(text: str) -> str:
    name = re.sub(r"[^\w.@~+-]", "-", text, flags=re.ASCII)
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
