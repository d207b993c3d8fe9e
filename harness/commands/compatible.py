"""`stillframe compatible`: predict a restore from a checkpoint's files and from the versions of programs."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.checkpoints.compatibility import Machine, predict
from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Budget, Unreadable, reason_of, told_of
from harness.commands.declarations.checkpoints import PROGRAMS
from harness.host import facts
from harness.host.process import HOST
from harness.model.commands import Command
from harness.model.errors import EnvironmentUnfit, Exit, StillframeError, UsageError, unknown
from harness.model.machine import Component
from harness.model.outcomes import Answer, Prediction
from harness.model.values import Frozen
from harness.run import variants
from harness.run.options import Options
from harness.runtimes import RUNTIMES, adapter, versions
from harness.stacks import build, builds, definition
from harness.stacks.node import Node
from reports.text import clean, sayable

ANSWERED = {Answer.YES: Exit.EXPECTED, Answer.UNKNOWN: Exit.INCOMPLETE, Answer.NO: Exit.UNEXPECTED}
"""Exit codes, in the order in which they count."""
ASK_SECONDS = 20.0


Lacks = Callable[[Collection[str]], frozenset[str]]
"""Asks CRIU where it restores which of these features it lacks."""


@dataclass(frozen=True)
class Restorer:
    """Who might restore it."""

    runtime: str
    components: tuple[Component, ...]
    lacks: Lacks


class Compatibility(Frozen):
    """What is predicted of one who might restore it."""

    runtime: str
    components: tuple[Component, ...]
    prediction: Prediction


def act(arguments: argparse.Namespace) -> int:
    """Print who can restore a checkpoint, and why others cannot."""
    stack = arguments.stack_name
    chosen = [word for word in arguments.restored_by if "=" not in word]
    arguments.builds = [word for word in arguments.restored_by if "=" in word]
    options = Options.of(arguments)
    if options.builds and not stack:
        raise UsageError(f"--with {options.builds[0]} needs a stack", remedy="Name one with --stack.")
    sides = of_stack(stack, chosen, options) if stack else of_this_machine(chosen)
    found = compatible(arguments.path, sides, container=arguments.container, budget=Budget.of(arguments.max_bytes))
    if arguments.json:
        print(json.dumps(sayable([each.model_dump(mode="json") for each in found]), indent=1))  # noqa: T201
    for each in () if arguments.json else found:
        listed = ", ".join(map(str, each.components))
        print(f"{each.prediction.answer}: {clean(f'{each.runtime} ({listed})')}")  # noqa: T201
        for reason in each.prediction.reasons:
            print(f"  {clean(reason)}")  # noqa: T201
        if each.prediction.translate:
            words = f"stillframe translate {shlex.quote(str(arguments.path))} {each.prediction.translate} -o NEW"
            print(f"  remedy: {clean(words)}")  # noqa: T201
    answers = {each.prediction.answer for each in found}
    return next(code for answer, code in ANSWERED.items() if answer in answers)


def compatible(
    path: Path,
    restoring: Iterable[Restorer],
    *,
    container: str = "",
    budget: Budget | None = None,
) -> tuple[Compatibility, ...]:
    """Predict for each of those; `Unreadable` if it is no checkpoint, or one that is not known here."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        remedy = "Name an archive or a folder of images."
        raise UsageError(f"{path} cannot be read: {reason_of(error)}", remedy=remedy) from error
    try:
        found = needs(path, budget, container=container)
    except Unreadable as error:
        raise told_of(path, "read", error) from error
    except OSError as error:
        remedy = "You need access to all its files, and free space in the folder that TMPDIR names."
        raise EnvironmentUnfit(f"{path} cannot be read here: {reason_of(error)}", remedy=remedy) from error
    this = Machine(platform.machine(), facts.cpu_flags())
    return tuple(
        Compatibility(
            runtime=each.runtime,
            components=each.components,
            prediction=predict(found, each.components, machine=this, lacks=each.lacks(found.features)),
        )
        for each in restoring
    )


def of_this_machine(runtimes: Iterable[str]) -> Iterator[Restorer]:
    """Versions of what is installed here; those asked for by name have to be."""
    chosen = tuple(runtimes)
    for runtime in chosen:
        if runtime not in PROGRAMS:
            raise unknown("runtime", runtime, PROGRAMS)
    asked = 0
    for runtime, programs in PROGRAMS.items():
        lacking = [program for program in programs if shutil.which(program) is None]
        if runtime in chosen and lacking:
            raise EnvironmentUnfit(f"{runtime} is not here: no {', '.join(lacking)} on PATH", remedy="Or use --stack.")
        if not lacking and (not chosen or runtime in chosen):
            asked += 1
            components = tuple(Component(name=each, version=_version(each)) for each in programs)
            asks = partial(_lacking, partial(HOST.run, deadline=ASK_SECONDS)) if "criu" in programs else _lacks_nothing
            yield Restorer(runtime, components, asks)
    if not asked:
        raise EnvironmentUnfit(
            "nothing on PATH restores checkpoints", remedy=f"Install one of {', '.join(PROGRAMS)}, or use --stack."
        )


def of_stack(name: str, runtimes: Iterable[str], options: Options) -> Iterator[Restorer]:
    """Versions of what a stack carries, read in a node."""
    stack = definition.load(definition.name_of(name))
    chosen = tuple(runtimes) or tuple(each for each in stack.runtimes if each in PROGRAMS)
    for runtime in chosen:
        if runtime not in RUNTIMES:
            raise unknown("runtime", runtime, RUNTIMES)
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=lambda _: None)
    variant = variants.only(stack.name)
    builds.check(variant, root)
    for runtime in chosen:
        with Node(variant, root, name="versions") as node:
            builds.prove(node)
            asked = adapter(runtime, "")(node)
            lacking = [each.evidence for each in asked.capabilities() if not each.available]
            if lacking:
                raise EnvironmentUnfit(f"{runtime} of {name}: {'; '.join(lacking)}", remedy="Choose another.")
            asked.prepare()
            components = builds.components(node, asked.components())
            with_criu = any(each.name == "criu" for each in components)
            yield Restorer(runtime, components, partial(_lacking, node.run) if with_criu else _lacks_nothing)


def _lacking(run: Callable[..., Command], features: Collection[str]) -> frozenset[str]:
    """Features that CRIU says it lacks; only root is told."""
    if os.geteuid() != 0:
        return frozenset()
    asked = {name: run(["criu", "check", "--feature", name], accept=range(256)).exit_code for name in features}
    return frozenset(name for name, code in asked.items() if code)


def _lacks_nothing(_: Collection[str]) -> frozenset[str]:
    return frozenset()


def _version(program: str) -> str:
    try:
        return versions.number(HOST.run([shutil.which(program) or program, "--version"], deadline=ASK_SECONDS).stdout)
    except StillframeError as error:
        raise EnvironmentUnfit(f"{program} does not tell its version: {error}", remedy="Or use --stack.") from error
