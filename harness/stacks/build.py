"""Build stacks into the cache, once for each content of a definition; a finished stack is never written to."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from harness.checkpoints.untrusted import Unreadable
from harness.host import probes
from harness.host.process import HOST
from harness.host.wait import until
from harness.model.errors import CommandFailed, DeadlineExceeded, StackUnavailable
from harness.records.documents import writable
from harness.records.run_files import make_folder
from harness.stacks import images
from harness.stacks.definition import KEY_DIGITS, StackDefinition

BUILD_SECONDS = 900.0
OF_FOREIGN = (ValueError, OverflowError, RecursionError, AttributeError, TypeError, LookupError)
"""Errors of Python's own for names, numbers and documents in an archive that are not what they should be."""
NEEDED_BYTES = 1 << 30
MIRROR_VARIABLE = "STILLFRAME_MIRROR"
OPTIONS = (
    # The metadata of development suites expires when a mirror lags. apt still checks the signatures.
    '--aptopt=Acquire::Check-Valid-Until "false"',
    '--aptopt=Acquire::Check-Date "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)
# The build has a process tree of its own, which ends with the harness, whatever kills the harness.
TIED = ("setpriv", "--pdeathsig", "KILL", "unshare", "--fork", "--pid", "--kill-child", "--mount-proc")
Progress = Callable[[str], None]


def prepare(
    definition: StackDefinition,
    cache: Path,
    *,
    mirror: str | None,
    progress: Progress,
    waiting: Callable[[], None] = lambda: None,
) -> Path:
    """Return the stack's root file system, building it if the cache has no intact copy.

    `progress` gets a line for each step. `waiting` is called often, and what it raises ends the build. Raises
    `StackUnavailable` with the reason and a remedy.
    """
    if definition.root is not None:
        return definition.root
    stacks = cache / "stacks"
    make_folder(stacks)
    ready = stacks / f"{definition.name}-{definition.key}"
    with writable(stacks), locked(stacks / f"{definition.name}.lock", waiting):
        for left_over in stacks.glob(f".building-{definition.name}-{'[0-9a-f]' * KEY_DIGITS}"):
            shutil.rmtree(left_over)
        if ready.exists() and not _intact(ready):
            progress(f"{definition.name}: the cached copy is damaged; building it again")
            shutil.rmtree(ready)
        if not ready.exists():
            _build(definition, ready, mirror, progress, waiting)
    return ready / "root"


def cached(definition: StackDefinition, cache: Path) -> Path | None:
    """Return the stack's root file system if the cache has it."""
    root = definition.root or cache / "stacks" / f"{definition.name}-{definition.key}" / "root"
    return root if root.is_dir() else None


def _build(
    definition: StackDefinition, ready: Path, mirror: str | None, progress: Progress, waiting: Callable[[], None]
) -> None:
    if definition.archive is not None:
        _unpack(definition, definition.archive, ready, progress, waiting)
        return
    mirror = mirror or os.environ.get(MIRROR_VARIABLE) or mirror_of_host()
    argv = ["mmdebstrap", f"--variant={definition.variant}", *OPTIONS]
    argv += [f"--include={','.join(definition.packages)}"] if definition.packages else []
    for suite in definition.also:  # repeat the sources for the other suite
        sources = '"$1/etc/apt/sources.list'
        argv.append(f"--setup-hook=sed 's/ {definition.suite} / {suite} /' {sources}\" > {sources}.d/{suite}.list\"")
    with made_aside(ready, definition.name, progress, waiting) as (aside, execute):
        scratch = aside / "tmp"
        scratch.mkdir()
        progress(f"{definition.name}: building with mmdebstrap")
        execute([*argv, str(definition.suite), str(aside / "root"), *([mirror] if mirror else [])], TMPDIR=str(scratch))
        shutil.rmtree(scratch)
        (aside / "fingerprint").write_text(_fingerprint(aside / "root"), encoding="ascii")
    progress(f"{definition.name}: ready")


def _unpack(
    definition: StackDefinition, archive: Path, ready: Path, progress: Progress, waiting: Callable[[], None]
) -> None:
    """Unpack the archive of a stack."""
    name = definition.name
    progress(f"{name}: unpacking {archive.name}")
    with made_aside(ready, name, progress, waiting, tools=False) as (aside, _):
        root, scratch = aside / "root", aside / "layers"
        for folder in (root, scratch):
            folder.mkdir()
        try:
            images.unpack(archive, root, scratch, waiting)
        except (Unreadable, OSError, *OF_FOREIGN) as error:
            reason = getattr(error, "strerror", None) or error
            what = f"the stack {name} cannot be unpacked from {archive}: {getattr(error, 'what', reason)}"
            raise StackUnavailable(what, remedy=getattr(error, "remedy", "")) from error
        shutil.rmtree(scratch)
        if definition.system and not (root / "usr").is_dir():
            raise StackUnavailable(
                f"{archive} has no folder usr", remedy="Give the root of a file system, or an image."
            )
        (aside / "fingerprint").write_text(_fingerprint(root), encoding="ascii")
    progress(f"{name}: ready")


class Execute(Protocol):
    """Runs a command that works on a folder, and tells of its progress."""

    def __call__(self, argv: Sequence[str], **env: str) -> None:
        """Run it in a process tree of its own, which ends with the harness."""


@contextlib.contextmanager
def made_aside(
    ready: Path,
    name: str,
    progress: Progress,
    waiting: Callable[[], None],
    *,
    failure: str = "",
    remedy: str = "Check the network, or name a Debian mirror with --mirror URL or in STILLFRAME_MIRROR.",
    tools: bool = True,
) -> Iterator[tuple[Path, Execute]]:
    """Give a folder that becomes `ready` if all goes well, and what runs commands for it.

    `StackUnavailable` with `failure` and `remedy` if one of them fails; then nothing is left. `tools`: whether
    mmdebstrap and what belongs to it are needed.
    """
    _check_machine(ready.parent, tools=tools)
    aside, said = ready.with_name(f".building-{ready.name}"), ""
    aside.mkdir(parents=True)

    def tell(output: bytes) -> None:
        nonlocal said
        waiting()
        line = _last(output)
        if line not in ("", said):
            said = line
            progress(f"{name}: {line}")

    def execute(argv: Sequence[str], **env: str) -> None:
        HOST.run([*TIED, *argv], deadline=BUILD_SECONDS, env=env, on_tick=tell)

    try:
        yield aside, execute
    except (CommandFailed, DeadlineExceeded) as error:
        shutil.rmtree(aside, ignore_errors=True)
        what = failure or f"the stack {name} cannot be built"
        raise StackUnavailable(f"{what}: {_reason(error)}", remedy=remedy) from error
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    aside.rename(ready)


def _check_machine(folder: Path, *, tools: bool) -> None:
    if os.geteuid() != 0:
        raise StackUnavailable("building a stack needs root", remedy="Run it with sudo.")
    for program in probes.missing_tools() if tools else ():
        raise StackUnavailable(
            f"stacks cannot be built: {program} is not installed",
            remedy=f"On Debian or Ubuntu: {probes.INSTALL_TOOLS}.",
        )
    free = shutil.disk_usage(folder).free
    if free < NEEDED_BYTES:
        raise StackUnavailable(
            f"a stack needs {NEEDED_BYTES >> 20} MiB, but {folder} has {free >> 20} MiB free",
            remedy="Free some space, or choose another folder with --cache.",
        )


def mirror_of_host() -> str | None:
    """Return the Debian mirror that the host's apt uses; None if the host has no apt or is not Debian."""
    fields = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    try:
        listed = HOST.run(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]).stdout
    except CommandFailed:
        return None
    targets = (line.split("|", 2) for line in listed.splitlines() if line.count("|") >= 2)  # noqa: PLR2004
    return next((uri for origin, label, uri in targets if origin == label == "Debian"), None)


@contextlib.contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lock a stack for one builder; the lock ends with its holder, even if the holder is killed."""

    def free() -> bool:
        waiting()
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    with path.open("w") as lock:
        until(free, seconds=2 * BUILD_SECONDS, what=f"the end of the build that holds {path}")
        yield


def _intact(ready: Path) -> bool:
    try:
        return (ready / "fingerprint").read_text(encoding="ascii") == _fingerprint(ready / "root")
    except OSError:
        return False


def _fingerprint(root: Path) -> str:
    """Return a digest of names, modes and sizes; to read all contents takes as long as a build."""
    digest = hashlib.sha256()
    for folder, names, files in os.walk(root):
        names.sort()
        for name in sorted([*names, *files]):
            status = os.lstat(f"{folder}/{name}")
            digest.update(f"{folder[len(str(root)) :]}/{name} {status.st_mode:o} {status.st_size}\n".encode())
    return digest.hexdigest()


def _last(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].removeprefix("I: ") if lines else ""


def _reason(error: CommandFailed | DeadlineExceeded) -> str:
    if isinstance(error, DeadlineExceeded):
        return str(error)
    lines = [line for line in error.stderr.splitlines() if line.startswith(("E:", "Err:", "W: Failed"))]
    return " / ".join(line.strip() for line in lines[:3]) or str(error)
