"""The console command: what can this machine do, what would run, run it, show it."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness import bench, inspection, records, workload
from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import FORMS, Order, translate
from harness.compatible import PROGRAMS, compatible, of_stack, of_this_machine
from harness.errors import StillframeError, UsageError
from harness.host import audit, probes
from harness.images.study import study
from harness.matrix import DEFAULT_STACKS
from harness.model import Answer
from harness.options import CHOICES, SCENARIOS, SETTINGS, Options, add_to
from harness.records import Finding
from harness.stacks import build, definition
from harness.stacks.node import Node
from reports import compare, fingerprint, phrases, pool, show, terminal, write
from reports.cells import Exit, prevailing
from reports.images import exit_code
from reports.inspection import show_inspection

EXIT_CODES = """\
exit codes:
  0  all as expected
  1  an unexpected outcome, worse or better than expected
  2  usage
  3  incomplete, or this machine lacks something
  4  the instrument's own proof failed: no result of the run counts
"""

INSPECT = """\
Reads a checkpoint of one of our workloads without restoring it: the counter out of the memory pages, the same counter
out of the captured files, and whether both are of one instant. Needs no root where the files can be read.

PATH is one of
  an archive out of `podman container checkpoint --export`, plain or compressed by gzip or zstd
  an archive out of `ctr images export --local --skip-manifest-json --all-platforms` of an image out of
  `ctr containers checkpoint --rw --task`
  a folder with CRIU's images, as runc, crun, criu and Docker write them; its disk is elsewhere: --disk
  a folder or an archive that holds one of these unpacked
"""

INSPECT_EPILOG = """\
examples:
  stillframe inspect /tmp/live.tar
  stillframe inspect /tmp/images --disk /tmp/upper
  stillframe inspect /tmp/images --disk /tmp/upper --disk /named=/tmp/volume --json

What is read was made by others and is not believed: nothing is written but into a folder of its own below TMPDIR, and
what would take too much memory, disk or time is declined.

exit codes:
  0  consistent: memory and every surface that the checkpoint reaches are of one instant
  1  inconsistent
  2  usage: no such file, no checkpoint of a known kind, or one that is cut off, damaged or made to do harm
  3  nothing to compare: no counter of a workload in its memory, or no disk beside it; or no room or rights to read it
"""

TRANSLATE = """\
Rewrites a checkpoint so that another engine, OCI runtime or version of CRIU restores it; the original stays as it is.
Tells each thing that it changes. Needs neither root nor an engine. What the other could not be told is declined, with
the reason: a file that silently comes back, or is not there, would be worse than no checkpoint.

CHECKPOINT is an archive, plain or compressed by gzip or zstd, or, for --runtime and --criu, a folder of CRIU's images:
  podman      `podman container checkpoint --export`
  crio        CheckpointContainer of CRI, as by `crictl checkpoint --export`, with CRI-O
  containerd  the same with containerd
"""

TRANSLATE_EPILOG = """\
examples:
  stillframe translate live.tar --runtime crun -o live-crun.tar
  stillframe translate live.tar --criu 4.1 -o for-debian-13.tar
  stillframe translate live.tar --to crio -o live-crio.tar
  stillframe translate live-crio.tar --to podman --template live.tar --runtime runc -o back.tar
  stillframe translate /tmp/images --runtime runc --criu 4.1 -o /tmp/images-runc

--runtime: CRIU asks the runtime for what covers masked paths (/proc/keys and so on), which runc and crun name
differently; newer versions of crun cover folders in their own way. --criu 4.1: from 4.2 on images count pages in
another field, of which older versions know nothing.

The result is a plain archive, the same for the same input, readable by its owner alone: it holds a process's memory.

exit codes:
  0  written
  1  declined: it cannot be said in the other's words
  2  usage: no such file, no checkpoint of a known kind, or one that is cut off, damaged or made to do harm
  3  no room or rights to read or write it
"""
IMAGES_STACK = "debian-sid"
"""The one that has all tools."""

COMPATIBLE = """\
Reads a checkpoint's files, and the versions of the programs that are to restore it, and says whether they will: which
names and fields the checkpoint uses, and who is known not to understand them. Nothing is restored. Reads archives of
Podman, CRI-O and containerd, and folders of CRIU's images.
"""

COMPATIBLE_EXIT_CODES = """\
exit codes:
  0  yes, by one of them at least
  1  no
  2  usage, or no checkpoint that can be read
  3  nobody can tell from the files, or a program is not here
"""

ANSWERED = {Answer.YES: 0, Answer.UNKNOWN: 3, Answer.NO: 1}
"""Exit codes, in the order in which they count."""

INSPECTED = {Finding.CONSISTENT: 0, Finding.INCONSISTENT: 1, Finding.NOTHING_TO_COMPARE: 3}


COMPARE_EXIT_CODES = """\
exit codes:
  0  no difference for the worse
  1  a regression: a cell that newly violates, is worse, or has disappeared
  2  usage, or a folder that holds no run
  3  not comparable: other settings, no common cell, or a run whose own proof failed
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.act(arguments)
    except StillframeError as error:
        _tell(f"stillframe: {error}")
        return error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


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

    add_to(command("doctor", _doctor, "tell what this machine can do, and why not"), SETTINGS)
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
    shown = command("show", _show, "show a cell of a run: its trials, and the commands of one, ready to paste")
    shown.add_argument("cell_id", metavar="CELL", help="id, as in the table's links and in `stillframe plan`")
    shown.add_argument("--trial", type=int, default=None, metavar="N", help="which trial (default: the worst)")
    shown.add_argument("--run", type=Path, default=None, metavar="DIR", help="folder of the run (default: OUT/latest)")
    add_to(shown, SETTINGS)
    shell = command("shell", _shell, "open a shell in a fresh node of a stack, with the workload's image (root)")
    shell.add_argument("stack_name", metavar="STACK", help=", ".join(definition.available()))
    add_to(shell, SETTINGS)
    report = command("report", _report, "write a run's report anew from its records")
    report.add_argument("run", type=Path, metavar="RUN", help="folder of the run")
    report.add_argument(
        "--to", type=Path, default=None, metavar="DIR", help="where to (default: into the run's folder)"
    )
    pooled = command("pool", _pool, "add up the trials of several runs, as long as no component has changed")
    pooled.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a run, in any order")
    pooled.add_argument("--json", action="store_true", help="for programs")
    compared = command("compare", _compare, "tell what has become worse, better or different between two runs")
    compared.add_argument("before", type=Path, metavar="A", help="folder of the run that came first")
    compared.add_argument("after", type=Path, metavar="B", help="folder of the run that is held against it")
    compared.add_argument("--json", action="store_true", help="for programs")
    compared.epilog = COMPARE_EXIT_CODES
    printed = command("fingerprint", _fingerprint, "group versions that restore each other's checkpoints, from runs")
    printed.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of an interoperability run")
    printed.add_argument("--json", action="store_true", help="for programs, with every pair")
    _of_checkpoints(commands)
    return parser


def _of_checkpoints(commands: Any) -> None:
    """Commands for checkpoints of anybody's making, which need neither stacks nor root."""
    inspected = commands.add_parser(
        "inspect",
        help="read a checkpoint archive or CRIU's images, of anybody's making, without restoring",
        description=INSPECT,
        epilog=INSPECT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspected.set_defaults(act=_inspect)
    inspected.add_argument("path", type=Path, metavar="PATH", help="archive or folder")
    inspected.add_argument(
        "--disk",
        action="append",
        default=[],
        metavar="[MOUNTPOINT=]DIR",
        help="folder with captured files: the writable layer, or what was mounted at MOUNTPOINT; repeatable",
    )
    inspected.add_argument("--json", action="store_true", help="print JSON; schema: reports/schema")
    asked = commands.add_parser(
        "compatible",
        help="predict whether a checkpoint will be restored here, and why not",
        description=COMPATIBLE,
        epilog=COMPATIBLE_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asked.set_defaults(act=_compatible)
    asked.add_argument("path", type=Path, metavar="CHECKPOINT", help="archive or folder of images")
    asked.add_argument(
        "--with", dest="restored_by", action="append", default=[], metavar="RUNTIME", help=", ".join(PROGRAMS)
    )
    asked.add_argument(
        "--stack", dest="stack_name", default="", metavar="STACK", help="by programs of a stack instead (root)"
    )
    asked.add_argument("--json", action="store_true", help="for programs")
    add_to(asked, SETTINGS)
    translated = commands.add_parser(
        "translate",
        help="rewrite a checkpoint so that another engine, runtime or version of CRIU restores it",
        description=TRANSLATE,
        epilog=TRANSLATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    translated.set_defaults(act=_translate)
    translated.add_argument("path", type=Path, metavar="CHECKPOINT", help="archive or folder of images")
    translated.add_argument("--to", choices=[form.name for form in FORMS], default="", help="whose archive to make")
    translated.add_argument("--runtime", choices=list(Runtime), type=Runtime, default=None, help="who is to restore it")
    translated.add_argument("--criu", choices=list(OldCriu), type=OldCriu, default=None, help="with which older CRIU")
    translated.add_argument(
        "--template",
        type=Path,
        default=None,
        metavar="ARCHIVE",
        help="archive of the engine of --to, of a container of the same image, for what only the engine knows",
    )
    translated.add_argument(
        "--image", default="", metavar="NAME@DIGEST", help="for containerd: where it pulls the image from"
    )
    translated.add_argument("-o", "--out", type=Path, required=True, metavar="OUT", help="the new archive or folder")
    translated.add_argument("--force", action="store_true", help="replace OUT, if it is a file")


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
    cells = options.cells
    print(len(cells) if arguments.count else "\n".join(cell.id for cell in cells))  # noqa: T201
    _tell(options.rule)
    return 0


def _run(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    if not options.cells:
        raise UsageError("the choices leave no cell", remedy="`stillframe plan` lists them.")
    configuration = ["-c", str(SCENARIOS.parent / "pyproject.toml"), "-W", "default", "--verbose", "--no-header"]
    workers = ["-n", str(arguments.workers)] if arguments.workers > 1 else []
    code = int(pytest.main([str(SCENARIOS), *configuration, *workers, *options.arguments(), *arguments.pytest]))
    chosen = options.cell or options.runtime or options.policy or IMAGES_STACK not in (options.stack or DEFAULT_STACKS)
    if not options.interop or chosen or code not in list(Exit):
        return code
    return prevailing({Exit(code), Exit(_make_images(options, (IMAGES_STACK,), options.out / "latest"))}).value


def _show(arguments: argparse.Namespace) -> int:
    folder = arguments.run or _options(arguments).out / "latest"
    print(show.show_cell(folder, arguments.cell_id, arguments.trial), end="")  # noqa: T201
    return 0


def _shell(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    stack = definition.load(arguments.stack_name)
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=_tell)
    binaries = workload.compile_all(options.cache)
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
        records.read_plan(run)  # or there is no such run
    paths = [path for stack in stacks for path in study(options, stack, _tell)]
    folder.mkdir(parents=True, exist_ok=True)
    records.write_images(folder, paths)
    page = write.write_report(folder) if run else write.write_images(paths, folder)
    terminal.show_images(paths)
    print(f"report: {page}")  # noqa: T201
    leaks = audit.of_host().leaks(before)
    if leaks:
        _tell(f"left behind on the host: {', '.join(leaks)}")
    return 1 if leaks else exit_code(paths).value


def _tell(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201


def _pool(arguments: argparse.Namespace) -> int:
    pools = pool.pool(arguments.runs)
    if arguments.json:
        print(pool.as_json(pools), end="")  # noqa: T201
        return 0
    terminal.console_for(sys.stdout).print(pool.table(pools))
    print("\n".join(pool.footnotes(pools)))  # noqa: T201
    return 0


def _fingerprint(arguments: argparse.Namespace) -> int:
    found = fingerprint.fingerprint(arguments.runs)
    print(fingerprint.as_json(found) if arguments.json else "\n".join(fingerprint.lines(found)).rstrip())  # noqa: T201
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    found = compare.compare_runs(arguments.before, arguments.after)
    print(compare.as_json(found) if arguments.json else "\n".join(compare.lines(found)).rstrip())  # noqa: T201
    return found.exit_code.value


def _inspect(arguments: argparse.Namespace) -> int:
    found = inspection.inspect(arguments.path, inspection.disks_of(arguments.disk))
    if arguments.json:
        print(found.model_dump_json(indent=1))  # noqa: T201
    else:
        show_inspection(found)
    return INSPECTED[found.finding]


def _compatible(arguments: argparse.Namespace) -> int:
    stack, chosen = arguments.stack_name, arguments.restored_by
    sides = of_stack(stack, chosen, _options(arguments)) if stack else of_this_machine(chosen)
    found = compatible(arguments.path, sides)
    if arguments.json:
        print(json.dumps([each.model_dump(mode="json") for each in found], indent=1))  # noqa: T201
    for each in () if arguments.json else found:
        listed = ", ".join(f"{part.name} {part.version}" for part in each.components)
        print(f"{each.prediction.answer}: {phrases.clean(f'{each.runtime} ({listed})')}")  # noqa: T201
        for reason in each.prediction.reasons:
            print(f"  {phrases.clean(reason)}")  # noqa: T201
    answers = {each.prediction.answer for each in found}
    return next(code for answer, code in ANSWERED.items() if answer in answers)


def _translate(arguments: argparse.Namespace) -> int:
    order = Order(arguments.to, arguments.runtime, arguments.criu, arguments.template, arguments.image)
    done = translate(arguments.path, arguments.out, order, force=arguments.force, progress=_tell)
    print(f"{arguments.out}: of {done.was}")  # noqa: T201
    for change in done.changes or ["nothing had to be changed"]:
        print(f"  {phrases.clean(change)}")  # noqa: T201
    for note in done.notes:
        print(f"note: {phrases.clean(note)}")  # noqa: T201
    return 0


def _report(arguments: argparse.Namespace) -> int:
    if arguments.to and arguments.to.is_file():
        raise UsageError(f"--to {arguments.to} is a file", remedy="Name a folder.")
    print(write.write_report(arguments.run, arguments.to))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
