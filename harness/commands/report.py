"""`stillframe report`: the report of a run that is over."""

from __future__ import annotations

import argparse

from harness.model.errors import UsageError
from reports.formats import report as write
from reports.terminal.tell import tell
from reports.text import one_line


def report(arguments: argparse.Namespace) -> int:
    """Write it, print its address, and tell the verdict."""
    if arguments.out and arguments.out.is_file():
        raise UsageError(f"--out {arguments.out} is a file", remedy="Name a folder.")
    page, run = write.report(arguments.runs, arguments.out)
    write.add_to_step_summary(page.with_name(write.MARKDOWN).read_text(encoding="utf-8"))
    print(page)  # noqa: T201
    code = run.conclusion.exit_code.value
    tell(one_line(f"verdict: {run.conclusion.sentence} (exit code {code})"))
    return code if arguments.exit_code else 0
