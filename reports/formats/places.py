"""Where each form of a run is in the folder of its report. Pure."""

from __future__ import annotations

from typing import NamedTuple

JUNIT = "junit.xml"
CTRF = "ctrf.json"
ALLURE = "allure-results"
BADGE = "badges/run.svg"
INDEX = "api/v1/index.json"


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
