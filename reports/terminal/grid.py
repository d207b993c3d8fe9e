"""Tables of cells on a terminal: one participant is one row, however narrow the terminal is."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Iterator, Sequence

from rich import box
from rich.table import Table as Grid
from rich.text import Text

from harness.model.errors import Exit
from harness.model.outcomes import Outcome
from reports.analysis.cells import MEASURED, CellSummary
from reports.analysis.restores import restored
from reports.analysis.tables import Row, Table
from reports.terminal.folding import folded, longest_piece
from reports.text import one_line
from reports.words import causes
from reports.words.numbers import skew
from reports.words.outcomes import tone
from reports.words.tables import heading, marks, title

STYLES = {Exit.EXPECTED: "green", Exit.UNEXPECTED: "bold red", Exit.INCOMPLETE: "yellow", Exit.BLIND: "bold magenta"}
KNOWN = "cyan"
LABEL = 16
"""Width of the narrowest label."""
GAP = 2
NO_BREAK = "\N{NO-BREAK SPACE}"
ASCII = str.maketrans(f"✓✗◇{NO_BREAK}", "+xo ")
"""Signs where the terminal has no others."""
SIGNS = {"✓": "consistent", "✗": "wrong", "◇": "refused or not captured", "?": "no evidence"}
ANSWERS = {"✓": "restores", "✗": "does not restore", "◇": "restores sometimes", "?": "no evidence"}
"""The signs of a cross-restore table."""
FLAGS = {"!": "not as expected", "*": "known issue: as declared, or not seen here", "=": "wrong, as it must be"}
NOTHING = "-"

Form = Callable[[Table, CellSummary], str]


def style_of(cell: CellSummary) -> str:
    """Return the style of a cell."""
    return KNOWN if cell.as_expected and cell.known else STYLES[cell.exit_code]


def sign(table: Table, cell: CellSummary) -> str:
    """Return one or two signs: `✓`, `✗!`, `✗*`, `✗=`."""
    shown = causes.glyph_of(table, cell)
    if not cell.as_expected:
        return f"{shown}!"
    must = tone(cell.outcome) == "bad" and cell.expectation.outcome is cell.outcome
    return shown + ("*" if cell.known else "=" if must else "")


def counted(table: Table, cell: CellSummary) -> str:
    """Return the sign and how many trials it is about: `✗ 5/5`."""
    if table.by_pair:
        return f"{sign(table, cell)} {causes.count(restored(cell))}"
    shown = cell.missing if cell.outcome is Outcome.MISSING else cell.counts.get(cell.outcome, 0)
    if cell.outcome.violates:
        shown = sum(number for outcome, number in cell.counts.items() if outcome.violates)
    if cell.outcome is Outcome.CONSISTENT:
        return f"{sign(table, cell)} 0/{cell.n}"
    return f"{sign(table, cell)} {shown}/{max(cell.n, cell.planned)}"


def worded(table: Table, cell: CellSummary) -> str:
    """Return the sign, the trials, and the outcome: `✗ 5/5 inconsistent`."""
    return f"{counted(table, cell)} {cell.outcome}"


def measured(table: Table, cell: CellSummary) -> str:
    """Return the sign, the trials, the outcome, and the skew: `✗ 5/5 inconsistent disk-ahead +139 ms`."""
    if cell.outcome not in MEASURED:
        return worded(table, cell)
    return " ".join(filter(None, (worded(table, cell), *cell.anomalies[:1], skew(cell.skew_ticks, cell.skew_us))))


def answered(table: Table, cell: CellSummary) -> str:
    """Return the sign and whether a pair restores: `✗ does not restore 1/1: masked paths`."""
    return f"{sign(table, cell)} {causes.entry(table, cell)}"


CORNER = "participant"
FORMS: tuple[Form, ...] = (measured, worded, counted)
"""The forms that name their columns, the longest first."""


def grids(table: Table, width: int, *, numbered: bool, ascii_only: bool) -> Iterator[Grid | Text]:
    """Yield a table in the longest form in which each row fits, and what its headings mean if they are letters."""
    labels = [_label(table, row, numbered=numbered) for row in table.rows]
    headings = [heading(column) for column in table.columns]
    longest = max(map(len, (CORNER, *labels)))
    for form, needed in itertools.product((answered, counted) if table.by_pair else FORMS, (len, longest_piece)):
        widths = [max(needed(name), _widest(table, number, form)) for number, name in enumerate(headings)]
        if longest + sum(widths) + GAP * len(widths) <= width:
            yield _grid(table, labels, longest, list(zip(headings, widths, strict=True)), form, ascii_only=ascii_only)
            return
    letters = list(itertools.islice(_letters(), len(headings)))
    yield from _lettered(table, labels, longest, letters, width, ascii_only=ascii_only)
    yield _listed(f"{letter} {name}" for letter, name in zip(letters, headings, strict=True))


def _lettered(
    table: Table, labels: Sequence[str], longest: int, letters: Sequence[str], width: int, *, ascii_only: bool
) -> Iterator[Grid]:
    """Yield a table under letters; in parts, if not even the signs of all columns fit."""
    least = min(longest, LABEL)
    for form in (counted, sign):
        widths = [max(len(letter), _widest(table, number, form)) for number, letter in enumerate(letters)]
        if longest + sum(widths) + GAP * len(widths) <= width:
            break
    most = max(1, (width - least) // (max(widths) + GAP))
    for first in range(0, len(letters), most if least + sum(widths) + GAP * len(widths) > width else len(letters)):
        some = slice(first, first + most)
        columns = list(zip(letters[some], widths[some], strict=True))
        room = min(longest, width - sum(size + GAP for _, size in columns))
        yield _grid(_part(table, some), labels, room, columns, form, ascii_only=ascii_only)


def _listed(words: Iterable[str]) -> Text:
    """List words that are folded between them alone."""
    return Text(", ".join(one_line(each).replace(" ", NO_BREAK) for each in words))


def legend(tables: Sequence[Table], *, ascii_only: bool) -> Text:
    """Explain the signs that the tables have."""
    meanings: dict[str, dict[str, None]] = {each: {} for each in (*SIGNS, *FLAGS)}
    for table in tables:
        told_as = FLAGS | (ANSWERS if table.by_pair else SIGNS)
        for cell in (each for row in table.rows for each in row.entries if each):
            for each in sign(table, cell):
                meanings[each][told_as[each]] = None
    told = [f"{each} {' or '.join(what)}" for each, what in meanings.items() if what]
    if any(each is None for table in tables for row in table.rows for each in row.entries):
        told.append(f"{NOTHING} not part of this run")
    listed = _listed(told)
    return Text(_spelled(listed.plain, ascii_only=ascii_only))


def _label(table: Table, row: Row, *, numbered: bool) -> str:
    policies = "" if table.by_policy or table.by_pair else f" ({', '.join(row.policies)})"
    return one_line(row.label + (marks(row.marks) if numbered else "") + policies)


def _widest(table: Table, number: int, form: Form) -> int:
    return max((len(form(table, each)) for row in table.rows if (each := row.entries[number])), default=1)


def _letters() -> Iterator[str]:
    yield from string.ascii_lowercase
    yield from map("".join, itertools.product(string.ascii_lowercase, repeat=2))


def _part(table: Table, part: slice) -> Table:
    rows = tuple(row.model_copy(update={"entries": row.entries[part]}) for row in table.rows)
    return table.model_copy(update={"columns": table.columns[part], "rows": rows})


def _grid(
    table: Table,
    labels: Sequence[str],
    room: int,
    columns: Sequence[tuple[str, int]],
    form: Form,
    *,
    ascii_only: bool,
) -> Grid:
    named = "" if table.by_policy or table.by_pair else " (in brackets: freeze policy)"
    grid = Grid(
        title=Text(one_line(title(table) + named)),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, GAP - 1, 0, 0),  # the box adds a blank
        pad_edge=False,
    )
    grid.add_column(CORNER, overflow="fold", width=room)
    for name, width in columns:
        grid.add_column(folded(name, width), overflow="fold", width=width)
    for label, row in zip(labels, table.rows, strict=True):
        if any(row.entries):
            entries = (_entry(table, each, form, ascii_only=ascii_only) for each in row.entries)
            grid.add_row(folded(label, room), *entries)
    return grid


def _entry(table: Table, cell: CellSummary | None, form: Form, *, ascii_only: bool) -> Text:
    return Text(_spelled(form(table, cell), ascii_only=ascii_only), style=style_of(cell)) if cell else Text(NOTHING)


def _spelled(text: str, *, ascii_only: bool) -> str:
    return text.translate(ASCII) if ascii_only else text
