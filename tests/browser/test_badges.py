"""Badges in a real browser: every text fits into its badge, with any characters in a name."""

from __future__ import annotations

import shutil
import string
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, sync_playwright

from reports.formats.badges import GREEN, draw, render
from tests.reports import engines, hostile

NOW = datetime(2026, 11, 24, tzinfo=UTC)
OVERFLOWING = """
[...document.querySelectorAll("svg")].filter(badge => {
  const end = badge.viewBox.baseVal.width, [left, right] = badge.querySelectorAll("text");
  const middle = badge.querySelectorAll("rect")[1].width.baseVal.value;
  const first = left.getBBox(), second = right.getBBox();
  return !first.width || !second.width || first.x < 2 || first.x + first.width > middle - 2
    || second.x < middle + 2 || second.x + second.width > end - 2;
}).map(badge => badge.querySelector("title").textContent)
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def overflowing(page: Page, *badges: str) -> list[str]:
    page.set_content("".join(badges))
    return list(page.evaluate(OVERFLOWING))


def test_every_text_has_room(page: Page) -> None:
    for run in (engines.summary(), hostile.run()):
        assert overflowing(page, *(text for _, text in render(run, NOW))) == []


@pytest.mark.parametrize("sign", [*string.ascii_letters, *string.digits, *string.punctuation, "…", "\N{BALLOON}"])
def test_no_letter_is_wider_than_it_is_reckoned(page: Page, sign: str) -> None:
    assert overflowing(page, draw(sign * 60, f"x{sign.encode('ascii', 'replace').decode()}" * 20, GREEN)) == []


def test_what_does_not_fit_is_found(page: Page) -> None:
    narrow = draw("a name", "as expected", GREEN).replace('width="', 'width="1').replace('x="', 'x="-')
    assert overflowing(page, narrow) != []
