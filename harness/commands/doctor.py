"""`stillframe doctor`: what this machine can do, and whether the definition files are right."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from harness.host.probes import Finding, examine
from harness.model import expectations
from harness.model.errors import Exit, UsageError
from harness.run import matrix
from harness.workload.definitions import available, find


def doctor(arguments: argparse.Namespace) -> int:
    """Print every finding, and what would mend it."""
    unfit = 0
    for finding in (*examine(arguments.cache), *_definitions()):
        unfit += not finding.fit
        print(f"{'yes' if finding.fit else 'NO ':3} {finding.what}: {finding.evidence}")  # noqa: T201
        if not finding.fit and finding.remedy:
            print(f"      {finding.remedy}")  # noqa: T201
    stand = "1 of these stands" if unfit == 1 else f"{unfit} of these stand"
    print(f"{stand} in the way." if unfit else "This machine can run the matrix.")  # noqa: T201
    return Exit.INCOMPLETE if unfit else Exit.EXPECTED


def _definitions() -> Iterator[Finding]:
    yield _read("stack definitions", lambda: matrix.carried().keys())
    yield _read("workload definitions", lambda: [find(name) for name in available()])
    yield _read("known issues", expectations.declared)


def _read(what: str, read: Callable[[], Any]) -> Finding:
    try:
        return Finding(what, fit=True, evidence=f"{len(read())} read")
    except UsageError as error:
        first, *more = str(error).splitlines()
        return Finding(what, fit=False, evidence=first, remedy="\n      ".join(more))
