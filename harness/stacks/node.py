"""A node: one disposable, isolated instance of a stack.

It has its own mount, pid, cgroup, ipc, uts and network namespaces, a copy-on-write layer over the stack, and its own
cgroup2 hierarchy. It owns one group in every v1 hierarchy except memory, because CRIU dumps and rebuilds all of them.
Everything that it writes is on one tmpfs, which ends with the node.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.foreign.files import in_root
from harness.host import audit, cgroups, init, supervisor, terminal
from harness.host.process import HOST, Journal, NodeExecutor, Patience
from harness.host.wait import until
from harness.model.cells import CgroupVersion
from harness.model.commands import Command
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit, StillframeError
from harness.model.machine import Accommodation
from harness.stacks import builds
from harness.stacks.calls import PROGRAM, Answer, Calls
from harness.stacks.daemon import Daemon

START_SECONDS = 20.0
END_SECONDS = 30.0
FREEZE_SECONDS = 10.0
REMOVE_SECONDS = 2.0
HANG_LINES = 10
LINKED = re.compile("^/var/run/")
CRASH = re.compile("panic: |fatal error: ")


ANSWERS: dict[tuple[str, CgroupVersion], dict[tuple[str, ...], Command]] = {}
"""What programs have answered in this process, by the root file system and the version of its nodes."""


class Node(contextlib.AbstractContextManager["Node"]):
    """A running node; leaving its context ends everything in it."""

    storage = init.STORAGE
    """Folder inside the node, on a real file system, for images and containers."""
    shared = init.SHARED
    """Where in the node a folder of the host is, if it shares one."""

    def __init__(
        self,
        stack: str,
        lower: Path,
        *,
        name: str = "node",
        version: CgroupVersion = CgroupVersion.V2,
        share: Mapping[str, Path] | None = None,
        layer: Path | None = None,
    ) -> None:
        """Start a node called `name` over the root file system `lower`; `EnvironmentUnfit` if that fails.

        A variant of a stack has its builds laid over it. `share`: folders of the host that the node may read and write,
        by their place in it. `layer`: a folder that lies over `lower`.
        """
        if os.geteuid() != 0:
            raise EnvironmentUnfit("a node needs root", remedy="Run it with sudo.")
        self.stack = stack
        self.name = name
        self.version = version
        self.accommodations: dict[str, Accommodation] = {}
        self.daemons: list[Daemon] = []
        self.crash_logs: dict[str, int] = {}
        """Files in the node with the crash messages of Go programs that have no other log; and how many are told."""
        self.remarks: list[str] = []
        """Warnings of adapters; each trial clears them when it starts."""
        over = builds.over(stack)
        self._answers = {} if over or layer else ANSWERS.setdefault((str(lower), version), {})
        v1 = self._v1_mounts()
        reader, ready = os.pipe()
        lifeline, self._lifeline = os.pipe()
        spec = {"name": name, "lifeline": lifeline, "ready": ready, "v1": v1}
        spec |= {"builds": [(str(each.path), each.program) for each in over]}
        spec |= {"lower": [*([str(layer)] if layer else []), str(lower)]}
        spec |= {"share": {target: str(folder) for target, folder in (share or {}).items()}}
        try:
            self._supervisor = HOST.launch(
                [sys.executable, "-I", "-S", str(supervisor.__file__), json.dumps(spec)], pass_fds=(lifeline, ready)
            )
        finally:
            os.close(ready)
            os.close(lifeline)
        try:
            self.pid = self._await_ready(reader)
        except BaseException:
            self.end()
            raise
        finally:
            os.close(reader)
        self._executor = NodeExecutor(stack, self.path(init.ADDRESS))
        self.run, self.note = self._executor.run, self._executor.note
        self._executor.look = self.look
        if any(each.path.is_dir() for each in over):
            self.run(["ldconfig"])

    def _v1_mounts(self) -> dict[str, str]:
        """Return mount options by folder name for a node with cgroups version 1; empty for version 2."""
        if self.version is CgroupVersion.V2:
            return {}
        mounts = {
            each.name.removeprefix("name="): f"none,{each.name}" if each.name.startswith("name=") else each.name
            for each in cgroups.hierarchies()
            if each.version == 1
        }
        if "freezer" not in mounts:
            raise EnvironmentUnfit(
                "this host has no v1 freezer, so its nodes cannot have cgroups version 1", remedy="Use --cgroups v2."
            )
        return mounts

    def freezer(self, name: str) -> str:
        """Return the group `name` in the freezer's hierarchy, as a folder in the node."""
        return f"/sys/fs/cgroup/{name}" if self.version is CgroupVersion.V2 else f"/sys/fs/cgroup/freezer/{name}"

    def _await_ready(self, reader: int) -> int:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        answer = os.read(reader, 65536) if poll.poll(START_SECONDS * 1000) else b""
        said = json.loads(answer) if answer else {"error": f"no answer within {START_SECONDS:g} s"}
        if "pid" not in said:
            raise EnvironmentUnfit(
                f"a node of {self.stack} cannot be started: {said['error']}",
                remedy="`stillframe doctor` shows what this machine lacks.",
            )
        return int(said["pid"])

    @property
    def runtime_seconds(self) -> float:
        """Seconds in commands of the runtime so far, and in the starts of its daemons."""
        return self._executor.runtime_seconds + sum(daemon.start_seconds for daemon in self.daemons)

    @property
    def journal(self) -> Journal:
        """Journal for the commands of the current trial."""
        return self._executor.journal

    @journal.setter
    def journal(self, journal: Journal) -> None:
        self._executor.journal = journal

    def ask(self, argv: Sequence[str]) -> Command:
        """Run a program whose answer is the same in each node of a stack (its version): it is asked once.

        A build is asked in each node, since it may be built anew; and so is `criu check`, which also writes down for
        later what the kernel can do.
        """
        known = self._answers.get(tuple(argv))
        if known is None:
            known = self._answers[tuple(argv)] = self.run(argv)
        else:
            self.note(known)
        return known

    def path(self, inside: str) -> Path:
        """Return the host's path of a path in the node; links are followed as in the node: none leads to the host."""
        return in_root(Path(f"/proc/{self.pid}/root"), inside)

    def entry(self, inside: str) -> Path:
        """Return the host's path of a folder's entry in the node: of a link itself."""
        folder, _, name = inside.rpartition("/")
        return self.path(folder) / name

    def write(self, inside: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file in the node; the journal keeps it, so that a replay writes it too."""
        start, begun = time.time_ns(), time.monotonic()
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        self._log(write_path=inside, write_text=text, write_mode=mode, exit_code=0, start=start, begun=begun)

    def read(self, inside: str) -> str:
        """Return the text of a file in the node, with invalid bytes replaced; empty if it cannot be read."""
        try:
            return self.path(inside).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def make(self, *folders: str) -> None:
        """Make folders and their parents."""

        def make() -> None:
            for folder in folders:
                self.path(folder).mkdir(parents=True, exist_ok=True)

        self.do(("mkdir", "-p", *folders), make)

    def do(self, argv: Sequence[str], act: Callable[[], object]) -> None:
        """Call `act`, which does what `argv` would, without the 10 ms of a process; the journal keeps the command."""
        start, begun = time.time_ns(), time.monotonic()
        try:
            act()
        except OSError as error:
            raise CommandFailed(f"{shlex.join(argv)} on {self.stack} failed: {error.strerror or error}") from error
        self._log(argv=tuple(argv), exit_code=0, start=start, begun=begun)

    def remove(self, inside: str, *, again: bool = False) -> None:
        """Remove a folder or a file in the node; with `again` the journal keeps it for a replay.

        A process that ends meanwhile may still make files in the folder: CRIU does when crun has reported its failure.
        """
        start, begun = time.time_ns(), time.monotonic()
        path = self.entry(inside)
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            with contextlib.suppress(DeadlineExceeded):
                until(lambda: _removed(path), seconds=REMOVE_SECONDS, what=f"the removal of {inside}")
        if again:
            self._log(argv=("rm", "-rf", inside), exit_code=0, start=start, begun=begun)

    def set(self, inside: str, value: str) -> None:
        """Write a kernel setting (a cgroup's file) in the node and journal it; `OSError` if the kernel declines."""
        start, begun, code = time.time_ns(), time.monotonic(), 1
        try:
            self.path(inside).write_text(value, encoding="ascii")
            code = 0
        finally:
            self._log(write_path=inside, write_text=value, exit_code=code, start=start, begun=begun)

    def freeze(self, group: str, *, frozen: bool) -> None:
        """Freeze or thaw a group with the kernel's freezer, and wait until the kernel confirms it."""
        setting, values = cgroups.FREEZER[self.version]
        folder = str(self.path(group))
        self.set(f"{group}/{setting}", values[frozen])
        what = f"{setting}={values[frozen]} taking effect on {group}"
        until(lambda: cgroups.frozen(folder) is frozen, seconds=FREEZE_SECONDS, what=what)

    def _log(self, *, start: int, begun: float, **what: Any) -> None:
        seconds = time.monotonic() - begun
        self.note(Command(where=self.stack, stage=self.journal.stage, start_ns=start, seconds=seconds, **what))

    @property
    def patience(self) -> Patience | None:
        """When the caller of a runtime gives up; None: not before the deadline of its command."""
        return self._executor.patience

    @patience.setter
    def patience(self, patience: Patience | None) -> None:
        self._executor.patience = patience

    def launch(self, argv: list[str]) -> Daemon:
        """Start a daemon with the log `/var/log/NAME.log` in the node; the caller waits until it answers."""
        log = self.path(f"/var/log/{Path(argv[0]).name}.log")
        self.daemons.append(Daemon(argv, self._executor.launch(argv, log=log), log))
        return self.daemons[-1]

    def revive(self) -> bool:
        """Start the daemons again that have ended, and wait until they answer; return whether any had ended."""
        ended = [daemon for daemon in self.daemons if daemon.ended]
        for daemon in ended:
            daemon.revive(self._executor)
        return bool(ended)

    def without_revived(self, found: Iterable[str]) -> tuple[str, ...]:
        """Leave out what daemons have that were started again: their processes, and sockets that are in use."""
        names = {daemon.name for daemon in self.daemons if daemon.revived}
        if not names:
            return tuple(found)
        theirs = {f"process {each}" for each in audit.family(self.pid, names)}
        unix = Path(f"/proc/{self.pid}/net/unix").read_text(encoding="utf-8").splitlines()
        theirs |= {f"file {LINKED.sub('/run/', line.split()[-1])}" for line in unix}
        return tuple(line for line in found if line not in theirs)

    def daemon_logs(self, lines: int) -> tuple[str, ...]:
        """Return the last lines of each daemon's log since `mark`."""
        return tuple(f"{daemon.name}: {line}" for daemon in self.daemons for line in daemon.tail(lines))

    def look(self) -> tuple[str, ...]:
        """Return the node's processes as a tree, and the end of each daemon's log: what a hang leaves to see."""
        return (*audit.tree(self.pid), *self.daemon_logs(HANG_LINES))

    def crashes(self) -> tuple[str, ...]:
        """Return the first line of each crash since `mark`."""
        return tuple(line for log, told in self.crash_logs.items() for line in self._crashes_in(log)[told:])

    def mark(self) -> None:
        """Leave out of `daemon_logs` and `crashes` what they give now: it belongs to a trial that is over."""
        for daemon in self.daemons:
            daemon.mark()
        self.crash_logs = {log: len(self._crashes_in(log)) for log in self.crash_logs}

    def _crashes_in(self, log: str) -> list[str]:
        return [line for line in self.read(log).splitlines() if CRASH.match(line)]

    def has_controllers(self) -> bool:
        """Return whether the node's cgroup2 hierarchy has controllers, which every resource limit needs."""
        controllers = self.path("/sys/fs/cgroup/cgroup.controllers")
        return controllers.exists() and bool(controllers.read_text(encoding="ascii").strip())

    def without_controllers(self, name: str, change: str) -> bool:
        """Return whether the node has no controllers; if so, record `change` as the workaround."""
        bare = not self.has_controllers()
        if bare:
            lacking = "controllers in the node's cgroup hierarchy: cgroup.controllers is empty"
            self.accommodate(name, lacking=lacking, change=change)
        return bare

    def accommodate(self, name: str, *, lacking: str, change: str) -> None:
        """Record a workaround: what this machine lacks, and what was changed because of it."""
        self.accommodations[name] = Accommodation(name=name, lacking=lacking, change=change)

    def remark(self, text: str) -> None:
        """Add a warning about the runtime to the trial's record."""
        self.remarks.append(text)

    def interact(self, argv: list[str], program: str, answer: Callable[[list[str], str], Answer]) -> int:
        """Run `argv` on the user's terminal; gives its exit code.

        Meanwhile `program` can be called in the node: `answer` gets its words and what the terminal said before.
        """
        self.write(f"/usr/local/bin/{program}", PROGRAM, mode=0o755)
        with contextlib.closing(Calls(self.path("/"), answer)) as calls:
            return terminal.interact(self._executor, argv, calls)

    def end(self) -> None:
        """End everything in the node and wait until its groups are gone."""
        while self.daemons:
            with contextlib.suppress(StillframeError):
                self.daemons.pop().let_go()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
            code = self._supervisor.wait(END_SECONDS)
            if code != 0:
                raise EnvironmentUnfit(
                    f"the node {self.name} of {self.stack} left control groups behind (supervisor: {code})",
                    remedy="A task in uninterruptible sleep may hold them. The next run removes them.",
                )

    def __exit__(self, *_: object) -> None:
        self.end()


def _removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
