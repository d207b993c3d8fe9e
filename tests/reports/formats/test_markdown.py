from __future__ import annotations

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from harness.model.outcomes import Outcome
from reports.formats.markdown import MOST_BYTES, fitting, render
from reports.text import MOST_LETTERS, in_markdown
from tests.reports import engines
from tests.reports.synthetic import MOVING, STILL, expected_run, matrix, moving, plan, poisoned, record, summary

POISON = "|<script>alert(1)</script>\n\n| ![x](https://x.example) `a` **b** ~~c~~ &amp; \\|\x1b"


def tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """Return each table as a list of rows, each row as the texts of its columns."""
    found: list[list[list[str]]] = []
    for token, content in zip(tokens(text), tokens(text)[1:], strict=False):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(content.content)
    return found


def test_a_clean_run() -> None:
    text = render(summary(plan(matrix()), expected_run(matrix())))
    assert text.startswith("## As expected: run 2026-11-23-1\n")
    assert "**All 24 cells are as expected, in 120 trials.** Exit code 0." in text
    matrix_table = tables(text)[0]
    assert [len(row) for row in matrix_table] == [5] * 7
    assert matrix_table[1][1] == "✗ inconsistent 5/5 disk-ahead +45.4 ms (expected)"
    assert "not as expected" not in text


def test_a_clean_cell_says_what_it_proves() -> None:
    text = render(summary(plan([STILL], 60), [record(STILL, number) for number in range(60)]))
    assert "0/60 (&lt;4.9 %)" in text


def test_what_is_wrong_has_its_own_table() -> None:
    text = render(summary(plan((MOVING, STILL), 1), [moving(MOVING), moving(STILL)]))
    assert [line.count("|") for line in text.splitlines() if line.startswith("|")][:3] == [4] * 3
    assert tables(text)[1][1][:2] == [STILL.id, "inconsistent 1/1 disk-ahead +45 ms"]


def test_engines_have_a_matrix_and_one_table_for_all_other_questions() -> None:
    text = render(engines.summary())
    matrix_table, rest, unexpected = tables(text)[:3]
    assert matrix_table[0] == ["participant", "none", "engine", "pause", "cgroup", "hook"]
    assert rest[0][:3] == ["participant", "freeze policy", "bind-mount"]
    assert rest[0][-2:] == ["paused: ledger", "generations: ledger"]
    by_name = {row[0]: row[1:] for row in matrix_table}
    assert by_name["podman/runc@debian-trixie image \\[1,2\\]"] == [
        *("-", "✗ inconsistent 5/5 disk-ahead +231 ms (known)", "-", "-", "-"),
    ]
    assert by_name["podman/runc@debian-experimental \\[1,2\\]"][1] == "✓ consistent 0/5 (&lt;45.1 %) **unexpected**"
    assert len(unexpected) == 1 + 15
    assert max(len(column) for row in (*matrix_table, *rest) for column in row) < 90


def test_known_issues_and_accommodations_have_sections() -> None:
    text = render(engines.summary())
    assert f"{engines.AHEAD.reason}: {engines.AHEAD.link} (owner: podman; review by 2027-03-01)\n" in text
    here = "  - ledger.engine.podman/runc@debian-sid: inconsistent 5/5 disk-ahead, order-broken +231 ms (matched)\n"
    assert here in text
    assert "  - ledger.engine.podman/runc@debian-experimental: consistent 0/5 (&lt;45.1 %) (passes now)\n" in text
    assert "  - **passes now in ledger.engine.podman/runc@debian-experimental, " in text
    (workarounds,) = [table for table in tables(text) if table[0][0] == "number"]
    assert [row[:2] for row in workarounds[1:]] == [["1", "no-resources"], ["2", "criu-cgroups"]]
    assert "285 cells, 1 to 5 trials each" in text


def test_hostile_strings_stay_text_and_tables_keep_their_columns() -> None:
    def told(poison: str) -> str:
        records = [moving(MOVING), record(STILL, outcome=Outcome.LEAKED), record(STILL, control="ring-byte")]
        workarounds = {"accommodations": engines.WORKAROUNDS, "warnings": ("x",)}
        hostile = [poisoned(each.model_copy(update=workarounds), poison) for each in records]
        known = poisoned(engines.AHEAD, poison).model_copy(update={"signature": ""})
        some = poisoned(plan((MOVING, STILL), 1), poison)
        some = some.model_copy(update={"expectations": {each.cell.id: known for each in hostile[:2]}})
        return render(summary(some, hostile))

    text, same = told(POISON), told("x")
    assert [token.type for token in tokens(text)] == [token.type for token in tokens(same)]
    inline = [child for token in tokens(text) for child in [token, *(token.children or [])]]
    assert not {child.type for child in inline} & {
        *("html_inline", "html_block", "image", "link_open", "code_inline", "s_open", "code_block", "fence")
    }
    assert [line.count("|") for line in text.splitlines()] == [line.count("|") for line in same.splitlines()]
    assert "<script" not in text


def paged(rows: int) -> str:
    table = "".join(f"| {number} | {'x' * 90} |\n" for number in range(rows))
    head = "## Verdict\n\nTold.\n\n### Odd\n\n| a | b |\n| --- | --- |\n"
    return f"{head}{table}\n### Known\n\n- one\n\n### Host\n\nHere.\n"


def test_a_page_that_fits_is_not_touched() -> None:
    text = paged(100)
    assert fitting(text, len(text.encode())) == text


@pytest.mark.parametrize("most", [*range(190, 450), 1_000, 5_000])
def test_a_page_that_is_too_long_ends_with_a_row_and_tells_what_is_not_there(most: int) -> None:
    text = fitting(paged(100), most)
    assert len(text.encode()) <= most
    assert text.startswith("## Verdict\n\nTold.\n")
    rows = text.count("x" * 90)
    assert text.count("\n| ") == (rows + 2 if rows else 0), "no head of a table without a row, and no part of a row"
    told = f"{100 - rows} lines of “Odd”, " if rows else "Odd, "
    assert f"The page has a size limit. Left out: {told}Known, Host. The site and summary.json" in text


def test_what_not_even_its_verdict_fits_into_stays_empty() -> None:
    assert fitting(paged(100), 20) == ""


def test_a_huge_run_fits_into_a_step_summary() -> None:
    long = [record(cell, outcome=Outcome.LEAKED, reason="€" * 100_000) for cell in matrix()]
    many = [STILL.model_copy(update={"workload": f"w{number}"}) for number in range(600)]
    some = [record(cell, outcome=Outcome.LEAKED, reason="€" * 2_000) for cell in many]
    assert len(render(summary(plan(matrix(), 1), long)).encode()) < 24 * 4 * MOST_LETTERS
    text = render(summary(plan(many, 1), some))
    assert len(text.encode()) <= MOST_BYTES
    assert text.startswith("## Not as expected: run 2026-11-23-1\n")
    assert "lines of “Cells that are not as expected”, Proof of the instrument, Versions and host. The site" in text


@pytest.mark.parametrize("text", ["x86_64", "runc@debian-sid", "a.b/c", "1.3.6+dfsg-1"])
def test_ordinary_words_stay_readable(text: str) -> None:
    assert in_markdown(text) == text


@pytest.mark.parametrize("text", ["a\\*b*", "&lt;", "<b>", "a|b", "_a_", "*a*", "~~a~~", "[a](b)", "`a`", "a\\.b"])
def test_what_is_escaped_is_shown_as_it_was(text: str) -> None:
    (inline,) = [token for token in tokens(f"x{in_markdown(text)}") if token.type == "inline"]
    assert {child.type for child in inline.children or []} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children or []) == f"x{text}"
