"""`stillframe shell`: a shell in a fresh node of a stack. A trial that is repeated in it is judged."""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import shlex
import stat
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.cri.codes import PROGRAM as CRI
from harness.model.cells import VARIANT
from harness.model.errors import CommandFailed, UsageError
from harness.run import variants
from harness.run.options import Options
from harness.runtimes import adapter, criu_configuration, versions
from harness.stacks import build, builds, definition, tools
from harness.stacks.checkouts import as_owner
from harness.stacks.definition import StackDefinition
from harness.stacks.node import Node
from harness.trial.answers import Trials
from harness.workload.image import lay_out_image
from harness.workload.programs import compile_all
from reports.terminal.tell import tell
from reports.text import one_line
from reports.words.replay import PROGRAM

PROGRAMS = {"runc": "--version", "crun": "--version", "criu": "--version", "podman": "--version"} | {
    "dockerd": "-v",
    "containerd": "-v",
    "runsc": "--version",
}
"""Programs whose versions the greeting tells, and the option that each has for that."""
BIN = ("usr/bin", "usr/sbin", "usr/local/bin")
OF_THE_SYSTEM = ("boot", "bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr", "var/run")
"""Folders that are not shared, nor anything in them."""
OF_EVERYBODY = ("", "home", "media", "mnt", "opt", "root", "srv", "tmp", "var", "var/lib", "var/log", "var/tmp")
"""Folders that hold more than one thing, so that none of them is shared as a whole."""
HOW_TO_SHARE = "To get checkpoints out, open the shell with --share DIR. The folder is then /srv/share here."
NOT_SHARED = "nothing; --share DIR shares a folder of the host"
HINT = """#!/bin/sh
printf '%s\\n' 'stillframe runs on the host, and not in this node.' {hint} >&2
exit 3
"""


def shell(arguments: argparse.Namespace) -> int:
    """Open a shell in a fresh node of a stack, or run a command there, and return its exit code."""
    options = Options.of(arguments)
    command = arguments.command
    if not command and (sys.stdin is None or is_empty(sys.stdin.fileno())):
        remedy = "Pipe in what `stillframe show CELL` prints, or use a terminal."
        raise UsageError("standard input is empty, so the shell has nothing to do", remedy=remedy)
    given = definition.name_of(arguments.stack_name)
    builds.over(given)
    stack = definition.load(given)
    shared = shareable("--share", arguments.share, options.cache) if arguments.share else None
    built = shareable("--build", arguments.build, options.cache) if arguments.build else None
    if (arguments.needs or arguments.install) and not built:
        raise UsageError("--needs and --install are for a build", remedy="Name its folder with --build DIR.")
    root = build.prepare(stack, options.cache, mirror=options.mirror, progress=tell)
    name = given if VARIANT in given else variants.only(stack.name)
    builds.check(name, root)
    layer = _layer(stack, root, built, arguments, options) if built else None
    binaries = compile_all(options.cache)
    share = {**({Node.shared: shared} if shared else {}), **({str(built): built} if built else {})}
    with Node(name, root, name="shell", version=options.cgroups, share=share, layer=layer) as node:
        builds.prove(node)
        image = f"{node.storage}/image"
        lay_out_image(node.path(image), binaries, options.settings.ring)
        _configure(node)
        hint = f"Put checkpoints into {node.shared}. On the host they are in {shared}." if shared else HOW_TO_SHARE
        node.write("/usr/local/bin/stillframe", HINT.format(hint=shlex.quote(hint)), mode=0o755)
        node.write(f"/usr/local/bin/{CRI}", f'#!/bin/sh\nexec {PROGRAM} {CRI} "$@"\n', mode=0o755)
        if command:
            tell(f"Running {shlex.join(command)} in a node of {name}.")
        elif sys.stdin.isatty():
            tell("\n".join(greeting(name, image, shared, _versions(node))))
        else:
            tell(f"Running standard input in a node of {name}.")
        argv = [*(_as_owner(built) if built else ()), *(command or ["bash", "--norc"])]
        return node.interact(argv, PROGRAM, Trials(node).answer)


def _layer(
    stack: StackDefinition, root: Path, built: Path, arguments: argparse.Namespace, options: Options
) -> Path | None:
    """Install what a build needs; by default the build dependencies of the source package in the folder."""
    sources = arguments.needs
    if not sources and not arguments.install and stack.suite is not None:
        sources = [tools.source_of(built)]
        tell(f"Installing the build dependencies of Debian's source package {sources[0]}; --needs names others.")
    return tools.prepare(stack, root, options.cache, sources=sources, packages=arguments.install, progress=tell)


def _as_owner(folder: Path) -> Iterator[str]:
    """Begin a command line that goes to a folder, and acts there as the folder's owner."""
    status = folder.stat()
    if status.st_uid:
        yield from (*as_owner(status), "env", "HOME=/tmp")
    yield from ("sh", "-c", 'cd "$0" && exec "$@"', str(folder))


def is_empty(descriptor: int) -> bool:
    """Wait until a pipe or a file has something to read, and return whether it ends without; nothing is consumed."""
    kind = os.fstat(descriptor)
    if stat.S_ISREG(kind.st_mode):
        return os.lseek(descriptor, 0, os.SEEK_CUR) >= kind.st_size
    if not stat.S_ISFIFO(kind.st_mode):
        return os.path.samestat(kind, Path(os.devnull).stat())
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    waiting.poll()
    return not int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)


def shareable(flag: str, folder: Path, cache: Path) -> Path:
    """Give the folder that can be shared, without symbolic links; `UsageError` for one that cannot or must not be."""
    try:
        found = folder.resolve(strict=True)
        str(found).encode()
    except OSError as error:
        raise UsageError(f"{flag} {folder}: {error.strerror}", remedy="Make the folder first.") from error
    except UnicodeEncodeError as error:
        raise UsageError(f"{flag} {str(folder)!r}: the name is not UTF-8", remedy="Choose another folder.") from error
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{flag} {folder}: {error}") from error
    if not found.is_dir():
        raise UsageError(f"{flag} {folder} is not a folder", remedy="Name a folder of your own.")
    forbidden = [Path("/", name) for name in OF_THE_SYSTEM]
    whole = [Path("/", name) for name in OF_EVERYBODY]
    if found in whole or any(found == each or each in found.parents for each in forbidden):
        raise UsageError(
            f"{flag} {folder}: root in the node could change the host's own files in {found}",
            remedy="Make a folder for this alone, and share that.",
        )
    if (kept := cache.resolve()) == found or kept in found.parents or found in kept.parents:
        raise UsageError(f"{flag} {folder}: the stacks are in {kept}, which a node must not change")
    return found


def greeting(stack: str, image: str, shared: Path | None, found: dict[str, str]) -> Iterator[str]:
    """Tell what is where, in lines for a terminal of 80 columns."""
    yield f"This is a node of {stack}: a disposable machine in namespaces,"
    yield "with no network to the outside. Everything in it ends with this shell."
    yield from _folded(f"{program} {version}" for program, version in found.items())
    yield f"  {image}         the workload's image, as a folder"
    yield f"  {image}/ledger  the workload; its --help explains it, and how"
    yield "                                to read what it says"
    yield f"  {Node.shared}                    " + (f"on the host: {one_line(str(shared))}" if shared else NOT_SHARED)
    if "podman" in found:
        yield "Podman works without options. Start other engines before you use them."
    yield "To repeat a trial, paste what `stillframe show CELL` prints. It ends with a"
    yield "verdict. A shell judges one trial."
    if shared:
        yield f"`stillframe inspect` runs on the host: put checkpoints into {Node.shared}."


def _folded(words: Iterator[str], width: int = 80) -> Iterator[str]:
    line = ""
    for word in words:
        if line and len(line) + len(word) > width - 4:
            yield f"  {line},"
            line = ""
        line = f"{line}, {word}" if line else word
    yield from [f"  {line}"] if line else []


def _has(node: Node, program: str) -> bool:
    return any(node.path(f"/{folder}/{program}").is_file() for folder in BIN)


def _configure(node: Node) -> None:
    """Have Podman and CRIU work in this node without options."""
    if _has(node, "podman"):
        adapter("podman/runc")(node).prepare()
    if _has(node, "criu"):
        criu_configuration.configure(node, "runc", "crun")


def _versions(node: Node) -> dict[str, str]:
    """Versions of the programs that are there, read from the binaries."""

    def ask(program: str) -> str:
        try:
            return versions.of_program(node, program, flag=PROGRAMS[program])
        except CommandFailed:
            return "(does not run here)"

    there = [program for program in PROGRAMS if _has(node, program)]
    with ThreadPoolExecutor() as pool:
        return dict(zip(there, pool.map(ask, there), strict=True))
