"""One trial's commands as a script for a node's shell."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from harness.model.outcomes import Stage
from harness.records.record import Record
from reports.text import one_line
from reports.words.cells import source_notes
from reports.words.commands import Step, ending, failed, heading, last_words, shell, steps
from reports.words.numbers import duration
from reports.words.replay import Cues

UNDONE = frozenset({Stage.START, Stage.RESTORE})
"""Stages in which an adapter removes a container that failed to begin."""


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
        undone = False
        for step in (first, *others):
            yield from _undoing(step) if undone else (shell(step),)
            yield from (f"# {told}" for told in (ending(step), *last_words(step.command)) if told)
            if not undone:
                yield from cues.after(step)
                undone = step.command.stage in UNDONE and step.command.runtime and failed(step.command)
    told = {
        "warning, although the runtime reported success": record.warnings,
        "source": source_notes(record),
        "log": record.log,
        "left behind": record.leaks,
    }
    yield from (f"# {name}: {one_line(line)}" for name, lines in told.items() for line in lines)
    yield from ("", *cues.end())


def _undoing(step: Step) -> Iterator[str]:
    """Show a command that removed what had failed; repeated, it would remove what has succeeded now."""
    yield "# not repeated, since it cleaned up after the failure:"
    yield from (f"# {line}" for line in shell(step).splitlines())
