"""The site in a real browser: nothing hostile runs, nothing breaks, and it is accessible."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Dialog, Page, Request, expect, sync_playwright

from harness.model.outcomes import Outcome
from reports.analysis.compare import compare
from reports.analysis.tables import RunSummary
from reports.formats import markdown
from reports.pages.site import PAGES, write_site
from reports.paths import page_of, participant_page
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, cell, moving, newer, plan, poisoned, record, summary

OWNED = "document.documentElement.dataset.owned = 1"
POISON = (
    f"<script>alert(1)</script><script>{OWNED}</script><img src=x onerror='{OWNED}'>"
    f'"><svg onload="{OWNED}">|\n\n| --- |\n`javascript:{OWNED}`' + "x" * 100_000
)
PHONE, DESK = (390, 844), (1400, 900)
RED = page_of(next(each.cell for each in engines.summary().cells if not each.as_expected))
GREEN = page_of(next(each.cell for each in engines.summary().cells if each.outcome is Outcome.CONSISTENT))
WHO = participant_page("podman/runc@debian-experimental")
EVERY = [*(each.path for each in PAGES), "compare.html", "history.html", RED, GREEN, WHO]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a site with everything that a run can show, and with older runs."""
    folder = tmp_path_factory.mktemp("site")
    older, run = engines.summary(all_well=True), newer(engines.summary(), 9)
    write_site(run, folder, before=[older], comparison=compare(older, run))
    return folder


def opened(browser: Browser, path: Path, size: tuple[int, int] = DESK, **more: object) -> Page:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, **more)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "light"), (DESK, "light"), (DESK, "dark")])
@pytest.mark.parametrize("path", EVERY)
def test_everybody_can_read_it(browser: Browser, site: Path, path: str, size: tuple[int, int], scheme: str) -> None:
    page = opened(browser, site / path, size, color_scheme=scheme, bypass_csp=True)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["help"], [node["html"] for node in each["nodes"]][:3]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "only tables scroll sideways"
    page.close()


@pytest.mark.parametrize("size", [PHONE, DESK])
def test_everybody_can_read_a_cross_restore(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    there = STILL.model_copy(update={"restore": cell(runtime="crun").checkpoint})
    leaked = record(there, outcome=Outcome.LEAKED)
    verdict = leaked.verdict.model_copy(update={"also": (Outcome.RESTORE_FAILED,)})
    leaked = leaked.model_copy(update={"verdict": verdict, "log": ("x" * 500,), "leaks": ("cgroup /x",)})
    write_site(summary(plan([STILL, there], 1), [record(STILL), leaked]), tmp_path)
    for path in ("interoperability.html", page_of(there)):
        page = opened(browser, tmp_path / path, size, bypass_csp=True)
        assert page.get_by_text("does not restore").first.is_visible()
        assert [each["id"] for each in Axe().run(page).response["violations"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.close()


def test_a_filter_narrows_what_is_shown(browser: Browser, site: Path) -> None:
    page = opened(browser, site / "consistency.html")
    rows = page.locator("[data-filter]:not([hidden])")
    every = rows.count()
    page.get_by_label("Filter").fill("podman unexpected")
    assert 0 < rows.count() < every, (rows.count(), every)
    assert page.locator("#filtered").text_content() == f"{rows.count()} of {every}"
    page.close()


def test_a_filter_is_in_the_address_and_goes_back(browser: Browser, site: Path) -> None:
    page = opened(browser, site / "index.html")
    every = page.locator("[data-filter]:not([hidden])").count()
    page.get_by_role("link", name="unexpected").first.click()
    page.wait_for_url("**/index.html?filter=is:unexpected")
    rows = page.locator(".engines tbody tr:not([hidden])")
    assert 0 < rows.count() < every
    assert all("unexpected" in each for each in rows.all_text_contents())
    page.get_by_label("Filter").fill("podman crun")
    page.wait_for_url("**/index.html?filter=podman+crun")
    assert all("podman/crun" in each for each in rows.all_text_contents()), "commands of other rows do not count"
    shared = opened(browser, site / "index.html")
    shared.goto(page.url)
    assert rows.count() == shared.locator(".engines tbody tr:not([hidden])").count() > 0
    page.go_back()
    expect(page.get_by_label("Filter")).to_have_value("is:unexpected")
    page.go_back()
    expect(page.locator("[data-filter]:not([hidden])")).to_have_count(every)
    page.get_by_label("Filter").fill("no such thing")
    assert page.locator("#filtered").text_content() == f"0 of {every}: nothing matches"
    page.close()
    shared.close()


@pytest.mark.parametrize("lost", ["() => {}", "() => { navigator.clipboard.writeText = () => Promise.reject(); }"])
def test_a_command_is_copied_by_keyboard(browser: Browser, site: Path, lost: str) -> None:
    page = opened(browser, site / RED)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(lost)
    button = page.get_by_role("button", name="copy").first
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.locator("#reproduce code").first.text_content()
    assert copied.startswith("sudo ci/matrix --cell ")
    page.close()


def test_without_a_script_all_is_there(browser: Browser, site: Path) -> None:
    page = opened(browser, site / "consistency.html", java_script_enabled=False)
    assert page.get_by_label("Filter").is_hidden()
    assert page.get_by_role("button").count() == 0
    page.get_by_role("link", name="inconsistent").first.click()
    assert page.locator("h1").inner_text().startswith("ledger.")
    assert page.locator("#reproduce code").first.is_visible()
    assert page.get_by_role("button").count() == 0
    page.close()


def hostile(poison: str = POISON) -> RunSummary:
    trials = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED)]
    lines = {"log": ("x",), "leaks": ("x",), "warnings": ("x",), "accommodations": engines.WORKAROUNDS}
    first, *others = (poisoned(each.model_copy(update=lines), poison) for each in trials)
    some = poisoned(plan((MOVING, STILL), 1), poison)
    known = poisoned(engines.AHEAD, poison).model_copy(update={"link": f"javascript:{OWNED}", "signature": ""})
    return summary(some.model_copy(update={"expectations": {first.cell.id: known}}), [first, *others])


def test_nothing_of_a_hostile_record_runs(browser: Browser, tmp_path: Path) -> None:
    run = hostile()
    write_site(run, tmp_path, before=[run], comparison=compare(run, newer(run, 9)))
    for path in sorted(tmp_path.rglob("*.html")):
        asked: list[str] = []
        page = browser.new_page()
        page.on("dialog", partial(_told, asked))
        page.on("request", partial(_asked, asked))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.dataset.owned") is None, path
        assert asked == [path.as_uri()], "no request, no dialog"
        assert "<script>alert(1)</script>" in (page.locator("body").text_content() or "")
        assert page.locator("script").count() == 1
        assert page.locator("footer").is_visible()
        page.close()


def test_nothing_of_a_hostile_record_runs_where_markdown_is_shown(browser: Browser, tmp_path: Path) -> None:
    def shown(run: RunSummary, name: str) -> tuple[Page, list[list[str]]]:
        text = MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown.render(run))
        path = tmp_path / f"{name}.html"
        path.write_text(f"<!doctype html><meta charset=utf-8><main>{text}</main>", encoding="utf-8")
        asked: list[str] = []
        page = browser.new_page()
        page.on("dialog", partial(_told, asked))
        page.on("request", partial(_asked, asked))
        page.goto(path.as_uri())
        assert asked == [path.as_uri()], "no request, no dialog"
        return page, [row.locator("th, td").all_text_contents() for row in page.locator("tr").all()]

    page, rows = shown(hostile(), "hostile")
    plain = shown(hostile(""), "plain")[1]
    assert page.evaluate("document.documentElement.dataset.owned") is None
    assert page.locator("main script, main img, main svg").count() == 0
    assert "<script>alert(1)</script>" in (page.locator("main").text_content() or "")
    for row, same in zip(rows, plain, strict=True):
        for text, told in zip(row, same, strict=True):
            assert text == told or "alert(1)" in text, "every table cell stays in its place"
    assert rows


def _told(heard: list[str], dialog: Dialog) -> None:
    heard.append(dialog.message)
    dialog.dismiss()


def _asked(heard: list[str], request: Request) -> None:
    heard.append(request.url)
