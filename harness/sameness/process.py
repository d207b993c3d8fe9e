"""What the kernel tells of one process in /proc. Sources: proc(5) and its pages of Linux man-pages 6.9."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.sameness.facts import OF_THREAD, OWN, Key

OF_STATUS = {
    "Uid": "user ids",
    "Gid": "group ids",
    "Groups": "groups",
    "CapEff": "effective capabilities",
    "CapPrm": "permitted capabilities",
    "CapInh": "inheritable capabilities",
    "CapBnd": "bounding capabilities",
    "CapAmb": "ambient capabilities",
    "NoNewPrivs": "no_new_privs",
    "Seccomp": "seccomp mode",
    "Seccomp_filters": "seccomp filters",
    "Cpus_allowed_list": "processors",
    "Mems_allowed_list": "memory nodes",
    "SigBlk": "blocked signals",
    "SigIgn": "ignored signals",
    "SigCgt": "caught signals",
    "Umask": "umask",
    "Threads": "threads",
}
"""Facts by the names of lines in /proc/PID/status."""
OF_THREADS = frozenset(OF_STATUS) - {"SigIgn", "SigCgt", "Umask", "Threads"}
"""Lines that each thread has for itself."""
NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
"""Without `time`: CRIU makes a namespace of its own, so that clocks go on."""
TEXTS = {
    "attr/current": "security label",
    "oom_score_adj": "oom_score_adj",
    "timerslack_ns": "timer slack",
    "coredump_filter": "dumped mappings",
    "personality": "personality",
    "comm": "name",
}
LINKS = {"root": "root folder", "exe": "executable", "cwd": "working folder"}
PROPAGATION = re.compile(r"(shared|master|propagate_from):\d+")
KEPT_OPTIONS = re.compile(r"(?:size|mode|uid|gid|hidepid|subset|nr_inodes|gid)=.*")
"""Options of a file system that a restore has to keep; others name devices and layers."""
UNNUMBERED = re.compile(r":\[\d+\]$")
NODE_GROUP = re.compile(r"/[^:]*stillframe-[^/:]+")
NET_FILES = ("tcp", "tcp6", "udp", "udp6", "raw", "unix")
STATES = {"01": "established", "07": "closed", "0A": "listens"}
"""States of a socket, of the kernel's include/net/tcp_states.h."""

MASK, NULL, EMPTY = "mask", "/null", "/.empty-directory"
"""What runtimes mount over what a container shall not see: the null device, a folder that is empty, or a tmpfs."""
OF_TIMES = frozenset({"relatime", "noatime", "strictatime", "nodiratime"})
"""Options of a mount that say nothing of a mask."""

OF_ENGINES = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
"""Where each engine mounts a file of its own making."""
O_LARGEFILE = 0o100000
"""The kernel sets it on whatever a 64-bit process opens, and says nothing by it."""

Value = tuple[Key, str]


@dataclass(frozen=True)
class Around:
    """What a process may share a namespace with: by kind of namespace, the node's and the machine's."""

    node: Mapping[str, str]
    machine: Mapping[str, str]

    @classmethod
    def of(cls, node: int) -> Around:
        """Read the namespaces of a node's init and of this process."""
        return cls(dict(_namespaces(Path(f"/proc/{node}"))), dict(_namespaces(Path("/proc/self"))))

    def said(self, kind: str, link: str) -> str:
        """Say whose namespace it is."""
        if link == self.machine.get(kind):
            return "the machine's"
        return "the node's" if link == self.node.get(kind) else OWN


class Process:
    """One process of a container; what cannot be read is left out and said in `unread`."""

    def __init__(self, pid: int, proc: Path = Path("/proc")) -> None:
        """`pid`: as seen from here. `ProcessLookupError` or `FileNotFoundError` if there is none."""
        self._folder = proc / str(pid)
        self._status = self._lines(self._folder / "status")
        self.inside = int(self._status["NSpid"].split()[-1])
        """Process id in the innermost namespace."""
        self.unread: dict[str, str] = {}
        """Facts that could not be read, and why."""

    @staticmethod
    def _lines(path: Path) -> dict[str, str]:
        text = path.read_text(encoding="utf-8", errors="replace")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}

    def read(self, around: Around) -> Iterator[Value]:
        """Yield every fact."""
        yield from self._of_status()
        yield from self._texts()
        readers: dict[Callable[[], Iterator[Value]], Iterable[str]] = {
            self._of_threads: (),
            self._limits: ("resource limit",),
            self._schedule: ("nice", "scheduling"),
            self._links: LINKS.values(),
            partial(self._of_namespaces, around): ("namespace", "user mapping"),
            self._mounts: ("mount", "what is mounted"),
            self._groups: ("control group",),
            self._words: ("arguments", "environment"),
            self._descriptors: ("descriptor", "offset", "lock", "socket"),
            self._timers: ("timer",),
        }
        for reader, facts in readers.items():
            try:
                yield from reader()
            except OSError as error:
                path = str(error.filename or "").removeprefix(f"{self._folder}/")
                self.unread |= dict.fromkeys(facts, f"{path}: {error.strerror}")

    def _text(self, name: str) -> str:
        return (self._folder / name).read_text(encoding="utf-8", errors="replace").strip()

    def _key(self, fact: str, of: str = "") -> Key:
        return Key(self.inside, fact, of)

    def _of_status(self) -> Iterator[Value]:
        for line, fact in OF_STATUS.items():
            if line in self._status:
                yield self._key(fact), " ".join(self._status[line].split())
            else:
                self.unread[fact] = f"{line} in status: this kernel does not tell it"

    def _of_threads(self) -> Iterator[Value]:
        for task in (self._folder / "task").iterdir():
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended
                status = self._lines(task / "status")
                number = status["NSpid"].split()[-1]
                if number == str(self.inside):
                    continue
                for line in OF_THREADS & status.keys():
                    yield self._key(OF_STATUS[line], f"{OF_THREAD}{number}"), " ".join(status[line].split())

    def _texts(self) -> Iterator[Value]:
        for name, fact in TEXTS.items():
            try:
                yield self._key(fact), self._text(name).rstrip("\0")
            except OSError as error:  # no security module, or not for this process
                if fact == "security label":
                    yield self._key(fact), ""
                else:
                    self.unread[fact] = f"{name}: {error.strerror}"

    def _limits(self) -> Iterator[Value]:
        for line in self._text("limits").splitlines()[1:]:
            name, soft, hard = line[:26].strip(), *line[26:].split()[:2]
            yield self._key("resource limit", name.removeprefix("Max ")), f"{soft} {hard}"

    def _schedule(self) -> Iterator[Value]:
        fields = self._text("stat").rpartition(")")[2].split()
        yield self._key("nice"), fields[16]
        yield self._key("scheduling"), f"policy {fields[38]}, priority {fields[37]}"

    def _links(self) -> Iterator[Value]:
        for name, fact in LINKS.items():
            yield self._key(fact), str((self._folder / name).readlink())

    def _of_namespaces(self, around: Around) -> Iterator[Value]:
        for kind, link in _namespaces(self._folder):
            yield self._key("namespace", kind), around.said(kind, link)
        mapped = " / ".join(" ".join(self._text(name).split()) for name in ("uid_map", "gid_map"))
        yield self._key("user mapping"), mapped

    def _mounts(self) -> Iterator[Value]:
        seen: Counter[str] = Counter()
        for line in self._text("mountinfo").splitlines():
            left, _, right = line.partition(" - ")
            _, _, _, root, where, options, *spread = left.split()
            kind, _, of_system = right.split(" ", 2)
            seen[where] += 1
            told = options.split(",")
            spreads = sorted({PROPAGATION.sub(r"\1", each) for each in spread} - {"propagate_from"}) or ["private"]
            kept = sorted(each for each in of_system.split(",") if each == "ro" or KEPT_OPTIONS.fullmatch(each))
            system = f"{kind}({','.join(kept)})" if kept else kind
            if masked := _masks(where, root, kind, kept):
                told, system = [each for each in told if each not in OF_TIMES], MASK
            again = f" (mount {seen[where]} there)" if seen[where] > 1 else ""
            yield self._key("mount", where + again), " ".join((*told, *spreads, system))
            if not masked and where not in OF_ENGINES:
                yield self._key("what is mounted", where + again), NODE_GROUP.sub("", root) or "/"

    def _groups(self) -> Iterator[Value]:
        for line in self._text("cgroup").splitlines():
            _, names, path = line.split(":", 2)
            yield self._key("control group", names or "unified"), NODE_GROUP.sub("", path) or "/"

    def _words(self) -> Iterator[Value]:
        words = (self._folder / "cmdline").read_bytes().split(b"\0")[:-1]
        digest = hashlib.sha256(b"\0".join(words)).hexdigest()[:12]
        yield self._key("arguments"), f"{len(words)}, {digest}"
        for each in (self._folder / "environ").read_bytes().split(b"\0"):
            if each:
                yield self._key("environment", each.partition(b"=")[0].decode(errors="replace")), "set"

    def _descriptors(self) -> Iterator[Value]:
        sockets: dict[str, str] | None = None
        for number in sorted((each.name for each in (self._folder / "fd").iterdir()), key=int):
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                target = str((self._folder / "fd" / number).readlink())
                lines = self._text(f"fdinfo/{number}").splitlines()
                told = dict(line.split(":", 1) for line in lines if ":" in line)
                flags = int(told.get("flags", "0"), 8) & ~O_LARGEFILE
                yield self._key("descriptor", number), f"{UNNUMBERED.sub('', target)} flags {flags:#o}"
                yield self._key("offset", f"of descriptor {number}"), told.get("pos", "").strip()
                for words in (each.split() for each in lines if each.startswith("lock:")):
                    where = f"of descriptor {number}, bytes {words[7]} to {words[8]}"
                    yield self._key("lock", where), " ".join(words[2:5])
                if target.startswith("socket:"):
                    sockets = self._sockets() if sockets is None else sockets
                    yield self._key("socket", f"of descriptor {number}"), sockets.get(target, "")

    def _sockets(self) -> dict[str, str]:
        """Return what each socket of the network namespace is, by the link that a descriptor has."""
        found = {}
        for kind in NET_FILES:
            with contextlib.suppress(OSError):
                for line in self._text(f"net/{kind}").splitlines()[1:]:
                    words = line.split()
                    if kind == "unix":
                        found[f"socket:[{words[6]}]"] = f"unix type {words[4]} state {words[5]}"
                    else:
                        state = STATES.get(words[3], f"state {words[3]}")
                        found[f"socket:[{words[9]}]"] = f"{kind} {words[1]} {words[2]} {state}"
        return found

    def _timers(self) -> Iterator[Value]:
        told: dict[str, str] = {}
        for line in [*self._text("timers").splitlines(), "ID:"]:
            name, _, value = line.partition(":")
            if name == "ID" and told:
                signal = told["signal"].split("/")[0]
                yield (
                    self._key("timer", told["ID"]),
                    f"clock {told['ClockID']}, signal {signal}, {told['notify'].split('/')[0]}",
                )
                told = {}
            told[name] = value.strip()


def _masks(where: str, root: str, kind: str, options: Sequence[str]) -> bool:
    """Return whether a mount is there to hide what is below it."""
    empty = kind == "tmpfs" and root == "/" and "ro" in options and where.startswith(("/proc/", "/sys/"))
    return root == NULL or root.endswith(EMPTY) or empty


def _namespaces(folder: Path) -> Iterator[tuple[str, str]]:
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):
            yield kind, str((folder / "ns" / kind).readlink())
