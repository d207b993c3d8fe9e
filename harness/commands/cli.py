"""The console command: what can this machine do, what would run, run it, show it."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from harness.commands import checkpoints as checkpoint_cli
from harness.commands import reports as report_cli
from harness.host import audit, probes
from harness.images.study import every_image, study
from harness.model.cells import Settings
from harness.model.errors import FAULT, INTERRUPTED, UNHEARD, StillframeError, UsageError
from harness.model.expectations import About, unmatched
from harness.records import run_files
from harness.run.matrix import DEFAULT_STACKS
from harness.run.options import CHOICES, RUNNING, SCENARIOS, SETTINGS, STACKS, Options, add_to
from harness.run.prepare import redaction_for
from harness.stacks import build, definition
from harness.stacks.node import Node
from harness.trial import bench, corpus
from harness.workload.programs import compile_all
from reports import text
from reports.analysis import compare
from reports.analysis.cells import Exit, prevailing
from reports.analysis.images import exit_code
from reports.formats import markdown
from reports.formats import report as write
from reports.runs import fingerprint, pool
from reports.runs.read import compare_runs
from reports.terminal import pool as pool_table
from reports.terminal import show, terminal
from reports.terminal.compare import lines as compare_lines
from reports.terminal.fingerprint import lines as fingerprint_lines

EXIT_CODES = """\
exit codes:
  0  all as expected
  1  an unexpected outcome, worse or better than expected
  2  usage
  3  incomplete, or this machine lacks something
  4  the instrument's own proof failed: no result of the run counts
 70  a fault of stillframe's own
"""

IMAGES_STACK = "debian-sid"
"""The one that has all tools."""

CORPUS = """\
Keeps one small checkpoint of each participant, with its record and all that a restore needs but the runtime; or
restores what was kept with the versions of today. So next month's versions are tried against this month's checkpoints,
whose makers nobody has any more.

  stillframe corpus keep DIR   checkpoints and restores with each participant, and keeps what restores well
  stillframe corpus try DIR    restores each with its runtime in every stack, and holds memory against disk

Both make a run of their own, with a report; `stillframe compatible` and `inspect` read what is kept without a restore.
What is kept holds the memory of processes, and is readable by its owner alone.
"""

RUN = "folder of a run or of its shards"

COMPARE_EXIT_CODES = """\
exit codes:
  0  no difference for the worse
  1  a regression: a cell that newly violates, is worse, or has disappeared
  2  usage, or a folder that holds no run
  3  not comparable: other settings, no common cell, or a run whose own proof failed
 70  a fault of stillframe's own
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    _open_what_is_closed()
    arguments = _parser().parse_args(argv)
    code: int | None = None
    try:
        code = arguments.act(arguments)
        sys.stdout.flush()
    except StillframeError as error:
        _tell(text.one_line(f"stillframe: {error}"))
        return error.exit_code
    except BrokenPipeError:
        _print_no_more()
        return UNHEARD if code is None else code
    except KeyboardInterrupt:
        _tell("stillframe: interrupted")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # whose exit code would be 1, which is an answer
        return _failed(error)
    return code


def _open_what_is_closed() -> None:
    """Let output that somebody has closed go nowhere; else the next file that is opened would take its place."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _print_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception) -> int:
    """Tell of output that goes nowhere, or of what nobody has thought of; gives the exit code."""
    try:
        if isinstance(error, OSError) and error.filename is None:
            print(flush=True)  # noqa: T201  # what could not be written may have been thrown away
        sys.stdout.flush()
    except OSError as full:
        _print_no_more()
        _tell(f"stillframe: standard output cannot be written: {full.strerror}")
        return StillframeError.exit_code
    _tell(text.clean("".join(traceback.format_exception(error)).rstrip()))
    _tell("stillframe: this is a fault of its own, and says nothing of what was asked; please report the lines above")
    return FAULT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stillframe",
        description="Is a live checkpoint of a container a still frame: memory and disk of one instant?",
        epilog=f"start with: stillframe doctor, then sudo stillframe run --stack debian-sid --rounds 3\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: object, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=text, description=text, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        made.set_defaults(act=act)
        return made

    add_to(command("doctor", _doctor, "tell what this machine can do, and why not"), STACKS)
    plan = command("plan", _plan, "list the cells that a run would have; needs no root")
    add_to(plan, CHOICES, SETTINGS)
    plan.add_argument("--count", action="store_true", help="only count them")
    run = command("run", _run, "run cells on real runtimes, print the table, write the report (root)")
    add_to(run, CHOICES, SETTINGS)
    run.add_argument("-n", "--workers", type=int, default=1, metavar="N", help="cells at a time (default 1)")
    run.add_argument("pytest", nargs="*", metavar="-- PYTEST-OPTION", help="handed on to pytest")
    imaged = command("images", _images, "make images of a checkpoint, carry them about, restore them (root)")
    imaged.add_argument(
        "--stack", action="append", default=[], metavar="NAME", help=f"repeatable (default {IMAGES_STACK})"
    )
    imaged.add_argument(
        "--run",
        type=Path,
        default=None,
        metavar="DIR",
        help="add to this run and its report (default: to one of its own)",
    )
    add_to(imaged, SETTINGS)
    kept = command("corpus", _corpus, "keep checkpoints for versions to come, or try those that were kept (root)")
    kept.description = CORPUS
    kept.add_argument("what", choices=("keep", "try"), help="keep new ones, or try those that are there")
    kept.add_argument("folder", type=Path, metavar="DIR", help="the corpus")
    add_to(kept, CHOICES[:2], RUNNING)
    kept.add_argument("-n", "--workers", type=int, default=1, metavar="N", help="cells at a time (default 1)")
    shown = command("show", _show, "show a cell of a run: its trials, and the commands of one, ready to paste")
    shown.add_argument("cell_id", metavar="CELL", help="id, as in the table's links and in `stillframe plan`")
    shown.add_argument("--trial", type=int, default=None, metavar="N", help="which trial (default: the worst)")
    shown.add_argument("--run", type=Path, default=None, metavar="DIR", help="folder of the run (default: OUT/latest)")
    add_to(shown, SETTINGS)
    shell = command("shell", _shell, "open a shell in a fresh node of a stack, with the workload's image (root)")
    shell.add_argument("stack_name", metavar="STACK", help=", ".join(definition.available()))
    add_to(shell, SETTINGS)
    report = command("report", _report, "write a site out of the records of a run, with others as its past")
    report.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=f"{RUN}, in any order, or of a history")
    report.add_argument(
        "--out", type=Path, default=None, metavar="DIR", help=f"where to (default: {write.SITE}/ in the newest run)"
    )
    report.add_argument(
        "--exit-code", action="store_true", help="end with the run's own exit code (default: 0 for a report of any run)"
    )
    pooled = command("pool", _pool, "add up the trials of several runs, as long as no component has changed")
    pooled.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=f"{RUN}, in any order")
    pooled.add_argument("--json", action="store_true", help="for programs")
    compared = command("compare", _compare, "tell what has become worse, better or different between two runs")
    compared.add_argument("before", type=Path, metavar="A", help="folder of the run that came first, or of its shards")
    compared.add_argument("after", type=Path, metavar="B", help="folder of the run that is held against it")
    compared.add_argument("--json", action="store_true", help="for programs")
    compared.epilog = COMPARE_EXIT_CODES
    printed = command("fingerprint", _fingerprint, "group versions that restore each other's checkpoints, from runs")
    printed.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of an interoperability run")
    printed.add_argument("--json", action="store_true", help="for programs, with every pair")
    report_cli.add_to(commands)
    checkpoint_cli.add_to(commands)
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    return Options.read(lambda name: getattr(arguments, name, ()))


def _doctor(arguments: argparse.Namespace) -> int:
    unfit = 0
    for finding in probes.examine(_options(arguments).cache):
        unfit += not finding.fit
        print(f"{'yes' if finding.fit else 'NO ':3} {finding.what}: {finding.evidence}")  # noqa: T201
        if not finding.fit:
            print(f"      {finding.remedy}")  # noqa: T201
    print("This machine can run the matrix." if not unfit else f"{unfit} of these stand in the way.")  # noqa: T201
    return 3 if unfit else 0


def _plan(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    cells, _ = options.share
    print(len(cells) if arguments.count else "\n".join(cell.id for cell in cells))  # noqa: T201
    _tell(options.rule)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    code = _pytest(options, arguments.workers, arguments.pytest)
    chosen = options.cell or options.runtime or options.policy or IMAGES_STACK not in (options.stack or DEFAULT_STACKS)
    elsewhere = options.shard is not None and options.shard.number > 1  # one machine makes them for all
    if not options.interop or chosen or elsewhere or code not in list(Exit):
        return code
    return prevailing({Exit(code), Exit(_make_images(options, (IMAGES_STACK,), options.out / "latest"))}).value


def _pytest(options: Options, workers: int, more: Sequence[str] = ()) -> int:
    if not options.cells:
        raise UsageError("the choices leave no cell", remedy="`stillframe plan` lists them.")
    configuration = ["-c", str(SCENARIOS.parent / "pyproject.toml"), "-W", "default", "--verbose", "--no-header"]
    several = ["-n", str(workers)] if workers > 1 else []
    return int(pytest.main([str(SCENARIOS), *configuration, *several, *options.arguments(), *more]))


def _corpus(arguments: argparse.Namespace) -> int:
    trying, folder = arguments.what == "try", arguments.folder
    there = corpus.read(folder) if trying or folder.exists() else ()
    changes = {"kept" if trying else "keep": folder.absolute(), "rounds": 1}
    settings = there[0].settings if there else Settings(ring=corpus.SMALL)
    options = _options(arguments).model_copy(update={**changes, **settings.model_dump()})
    if not trying:
        for cell in options.cells:
            corpus.keep(folder, cell)
    return _pytest(options, arguments.workers)


def _show(arguments: argparse.Namespace) -> int:
    folder = arguments.run or _options(arguments).out / "latest"
    print(show.show_cell(folder, arguments.cell_id, arguments.trial), end="")  # noqa: T201
    return 0


def _shell(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    stack = definition.load(arguments.stack_name)
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=_tell)
    binaries = compile_all(options.cache)
    with Node(stack.name, root, name="shell", version=options.cgroups) as node:
        bench.lay_out_image(node, f"{node.storage}/image", binaries, options.settings)
        _tell("A node's shell. Paste what `stillframe show CELL` prints; everything in here ends with it.")
        return node.interact(["bash", "--norc"])


def _images(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    return _make_images(options, options.stack or (IMAGES_STACK,), arguments.run)


def _make_images(options: Options, stacks: Iterable[str], run: Path | None) -> int:
    before = audit.of_host()
    folder = run or options.out / f"images-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    if run:
        run_files.read_plan(run)  # or there is no such run
    found = [path for stack in stacks for path in study(options, stack, _tell)]
    redaction = redaction_for(found, keep_names=options.keep_names)
    paths = [redaction.of(path) for path in found]
    folder.mkdir(parents=True, exist_ok=True)
    run_files.write_images(folder, paths)
    page = write.write_share(folder) if run else write.write_images(paths, folder)
    write.add_to_step_summary(markdown.render_images(paths))
    terminal.show_images(paths)
    print(f"report: {page}")  # noqa: T201
    leaks = audit.of_host().leaks(before)
    if leaks:
        _tell(f"left behind on the host: {', '.join(leaks)}")
    if astray := unmatched(every_image(), About.IMAGES):
        _tell(f"declared of no image that there is: {', '.join(astray)}")
    return 1 if leaks or astray else exit_code(paths).value


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # there is nowhere else to tell it
        print(text, file=sys.stderr)  # noqa: T201


def _pool(arguments: argparse.Namespace) -> int:
    pools = pool.pool(arguments.runs)
    if arguments.json:
        print(pool.as_json(pools), end="")  # noqa: T201
        return 0
    terminal.console_for(sys.stdout).print(pool_table.table(pools))
    print("\n".join(pool_table.footnotes(pools)))  # noqa: T201
    return 0


def _fingerprint(arguments: argparse.Namespace) -> int:
    found = fingerprint.fingerprint(arguments.runs)
    print(fingerprint.as_json(found) if arguments.json else "\n".join(fingerprint_lines(found)).rstrip())  # noqa: T201
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    found = compare_runs(arguments.before, arguments.after)
    print(compare.as_json(found) if arguments.json else "\n".join(compare_lines(found)).rstrip())  # noqa: T201
    return found.exit_code.value


def _report(arguments: argparse.Namespace) -> int:
    if arguments.out and arguments.out.is_file():
        raise UsageError(f"--out {arguments.out} is a file", remedy="Name a folder.")
    page, run = write.report(arguments.runs, arguments.out)
    write.add_to_step_summary(page.with_name(write.MARKDOWN).read_text(encoding="utf-8"))
    print(page)  # noqa: T201
    code = run.conclusion.exit_code.value
    _tell(text.one_line(f"verdict: {run.conclusion.sentence} (exit code {code})"))
    return code if arguments.exit_code else 0


if __name__ == "__main__":
    sys.exit(main())
