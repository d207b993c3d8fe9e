"""One trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from harness.records.record import Record
from reports.text import one_line
from reports.words.cells import source_notes
from reports.words.commands import ending, heading, last_words, shell, steps
from reports.words.numbers import duration


def script(record: Record) -> Iterator[str]:
    """Write a trial's commands line by line, for a node's shell; everything else is a comment."""
    yield ""
    yield f"# commands of trial {record.trial}, {duration((record.end_ns - record.start_ns) / 1e3)}"
    for workaround in record.accommodations:
        yield f"# workaround {one_line(f'{workaround.name}: lacking {workaround.lacking}; {workaround.change}')}"
    for title, group in groupby(steps(record.commands), key=lambda step: heading(step.command)):
        yield f"\n# {title}"
        for step in group:
            yield shell(step)
            yield from (f"# {told}" for told in (ending(step), *last_words(step.command)) if told)
    told = {
        "warning, although the runtime reported success": record.warnings,
        "source": source_notes(record),
        "log": record.log,
        "left behind": record.leaks,
    }
    yield from (f"# {name}: {one_line(line)}" for name, lines in told.items() for line in lines)
