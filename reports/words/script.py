"""One trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from harness.records.record import Record
from reports.text import one_line
from reports.words.cells import source_notes
from reports.words.commands import ending, heading, last_words, shell, steps
from reports.words.numbers import duration
from reports.words.replay import Cues


def script(record: Record) -> Iterator[str]:
    """Yield a trial's commands line by line, for a node's shell; everything else is shell comments."""
    yield ""
    yield f"# commands of trial {record.trial}, {duration((record.end_ns - record.start_ns) / 1e3)}"
    for each in record.accommodations:
        yield f"# workaround {one_line(f'{each.name}: lacking {each.lacking}; {each.change}')}"
    cues = Cues(record)
    yield from ("", *cues.begin())
    for title, group in groupby(steps(record.commands), key=lambda step: heading(step.command)):
        first, *others = group
        yield from cues.entering(first.command.stage)
        yield f"\n# {title}"
        for step in (first, *others):
            yield shell(step)
            yield from (f"# {told}" for told in (ending(step), *last_words(step.command)) if told)
            yield from cues.after(step)
    told = {
        "warning, although the runtime reported success": record.warnings,
        "source": source_notes(record),
        "log": record.log,
        "left behind": record.leaks,
    }
    yield from (f"# {name}: {one_line(line)}" for name, lines in told.items() for line in lines)
    yield from ("", *cues.end())
