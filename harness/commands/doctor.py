"""`stillframe doctor`: what this machine can do, and whether the definition files are right."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from harness.host.probes import Finding, examine
from harness.model import expectations
from harness.model.cells import Participant
from harness.model.errors import Exit, StillframeError, UsageError
from harness.run import matrix, variants
from harness.run.options import Options
from harness.runtimes import RUNTIMES
from harness.stacks import build, definition
from harness.workload.definitions import available, find
from reports.terminal.tell import tell


def doctor(arguments: argparse.Namespace) -> int:
    """Print every finding, and what would mend it."""
    unfit = 0
    options = Options.of(arguments)
    if options.builds and not options.stack:
        raise UsageError(f"--with {options.builds[0]} needs a stack", remedy="Name one with --stack.")
    for finding in (*examine(arguments.cache), *_definitions(), *_stacks(options)):
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


def _stacks(options: Options) -> Iterator[Finding]:
    """Ask in a node which runtimes of the chosen stacks work here; one answer for a stack that cannot be made ready."""
    if options.stack:
        from harness.run import hindrances  # noqa: PLC0415  # a look at the machine alone waits for no bench
        from harness.run.prepare import need_root  # noqa: PLC0415

    for stack in options.stack:
        runtimes = options.runtime or definition.load(stack).runtimes or tuple(RUNTIMES)
        try:
            need_root()
            root = build.prepare(definition.load(stack), options.cache, mirror=options.mirror, progress=tell)
        except StillframeError as error:
            yield Finding(f"stack {stack}", fit=False, evidence=error.what, remedy=error.remedy)
            continue
        for name in variants.of_stack(stack, alone=bool(options.builds)):
            try:
                hindrances.prove(name, root, options.cgroups)
            except UsageError:
                raise
            except StillframeError as error:
                yield Finding(f"stack {name}", fit=False, evidence=error.what, remedy=error.remedy)
                continue
            for runtime in runtimes:
                who = Participant(runtime=runtime, stack=name)
                lacking = hindrances.lacking(who, RUNTIMES[runtime].ways[0].name, root, options.cgroups)
                yield Finding(str(who), fit=not lacking, evidence=lacking or "works here")
