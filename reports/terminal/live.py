"""A run while it goes on: what is done, what each worker does, and what is not as expected. Pure but for its clock."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from harness.model.errors import Exit
from reports.terminal.grid import KNOWN, STYLES
from reports.text import clean, counted, one_line
from reports.words.finished import Finished
from reports.words.outcomes import FLAGS

LATEST = 4
"""Unexpected cells that are shown; the end of the run lists all."""
MOST_STEPS = 6
"""Stacks that are shown while they are prepared."""
BAR = 24
"""Width of the bar in characters; it is left out where it does not fit."""
BREAKS = str.maketrans("\t\n", "  ")
MINUTE, HOUR = 60, 3600


@dataclass
class Progress:
    """How far a run is."""

    workers: int = 1
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Durations that are expected of cells and controls, by name."""
    planned: tuple[str, ...] = ()
    steps: dict[str, str] = field(default_factory=dict)
    """The latest step of each stack that is prepared, by its name."""
    running: dict[str, float] = field(default_factory=dict)
    """When each running cell or control began, by name."""
    measured: dict[str, float] = field(default_factory=dict)
    """Durations of finished cells and controls, by name."""
    verdicts: Counter[tuple[str, Exit, bool]] = field(default_factory=Counter)
    """Numbers of results, by result, exit code, and whether they are known."""
    unexpected: list[Finished] = field(default_factory=list)
    note: str = ""
    """What is being done if no cell runs, or why the run ends."""

    def step(self, text: str) -> None:
        """Note a step of the preparation: `STACK: what happens`."""
        name, colon, step = one_line(text).partition(": ")
        self.steps[name if colon else ""] = step if colon else name

    def begin(self, name: str) -> None:
        """Note that a cell or control has begun."""
        self.steps.clear()
        self.running[name] = time.monotonic()

    def end(self, name: str, found: Finished | None) -> None:
        """Note that it has ended; `None`: without a result."""
        begun = self.running.pop(name, None)
        if found is None:
            return
        if begun is not None:
            self.measured[name] = time.monotonic() - begun
        self.measured.setdefault(name, 0.0)
        self.verdicts[found.result, found.code, found.known] += 1
        if not found.as_expected:
            self.unexpected.append(found)

    @property
    def left(self) -> float | None:
        """Seconds that are left, from measured durations of this run and earlier ones; None if too few are known."""
        known = {**self.seconds, **self.measured}
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        now = time.monotonic()
        took = {name: now - begun for name, begun in list(self.running.items())}
        due = (known.get(name, usual) for name in self.planned if name not in self.measured and name not in took)
        under_way = (max(0.0, known.get(name, usual) - passed) for name, passed in took.items())
        return (sum(due) + sum(under_way)) / self.workers


def rendered(run: Progress, width: int) -> Group:
    """Lay out a run for a terminal of this width: nothing is wider, nothing is folded, nothing controls it."""
    return Group(*(_fitted(each, width) if isinstance(each, Text) else each for each in _lines(run, width)))


def _fitted(line: Text, width: int) -> Text:
    line.plain = clean(line.plain).translate(BREAKS)
    line.no_wrap = True
    line.truncate(width, overflow="ellipsis")
    return line


def _lines(run: Progress, width: int) -> Iterator[Text | Table]:
    if run.note:
        yield Text(run.note, style="bold yellow")
    for name, step in list(run.steps.items())[-MOST_STEPS:]:
        yield Text(f"{name or 'this machine'}: {step}")
    if not run.planned:
        return
    yield _bar(run, width)
    if counts := list(_counts(run.verdicts)):
        yield Text(", ").join(counts)
    for name, begun in list(run.running.items()):
        yield _with_time(name, _span(time.monotonic() - begun), width)
    if run.unexpected:
        yield Text(f"not as expected: {counted(len(run.unexpected), 'result')}", style="bold")
    for found in run.unexpected[-LATEST:]:
        yield Text(f"  {found.name}", style=STYLES[found.code])
        yield Text(f"    {told(found)}")


def _bar(run: Progress, width: int) -> Text | Table:
    done, total, left = len(run.measured), len(run.planned), run.left
    far = f"{done} of {total} done" + (f", {_about(left)} left" if left is not None and done < total else "")
    if width < len(far) + BAR + 1:
        return Text(far, style="bold")
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(Text(far, style="bold"), ProgressBar(total=total, completed=done, width=BAR))
    return line


def _counts(verdicts: Mapping[tuple[str, Exit, bool], int]) -> Iterable[Text]:
    order = sorted(list(verdicts.items()), key=lambda item: (-item[0][1], -item[1]))  # noqa: C414  # it grows meanwhile
    for (result, code, known), count in order:
        as_known = known and code is Exit.EXPECTED
        how = " (known)" if as_known else f" ({FLAGS[code]})" if code is not Exit.EXPECTED else ""
        yield Text(f"{result}{how} {count}", style=KNOWN if as_known else STYLES[code])


def _with_time(name: str, span: str, width: int) -> Text:
    room = max(1, width - len(span) - 3)
    return Text(f"  {name if len(name) <= room else name[: room - 1] + '…':{room}} {span}")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < MINUTE else f"{seconds // MINUTE:.0f} min {seconds % MINUTE:02.0f} s"


def _about(seconds: float) -> str:
    if seconds < MINUTE:
        return "less than a minute"
    if seconds < HOUR:
        return f"about {seconds / MINUTE:.0f} min"
    return f"about {seconds // HOUR:.0f} h {seconds % HOUR / MINUTE:.0f} min"


def told(found: Finished) -> str:
    """Say on one line what was found, and what is wrong about it."""
    return one_line(f"{found.result} {found.detail}".strip() + (f", {found.reason}" if found.reason else ""))


def log_line(number: int, total: int, found: Finished) -> str:
    """Tell a finished cell or control for a log, without the time of the day."""
    return f"{number:{len(str(total))}} of {total}  {found.verdict}: {one_line(found.name)}: {told(found)}"
