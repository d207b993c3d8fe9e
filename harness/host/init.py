"""Process 1 of a node: builds the node's file systems, then starts programs on request and reaps them.

`harness.host.process.NodeExecutor` is its only client. A request is one packet,
{"argv", "env", "cwd", "stdio": [bool, bool, bool]}, with a descriptor for each true; a false means /dev/null.
"terminal": true makes the descriptors the controlling terminal. The answer is {"code": N}, negative for a signal.
{"signal": N} is passed on to the program's session. The session is killed when the client closes the connection.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import socket
import stat
import termios
import warnings  # noqa: F401  # exec imports it later, when the host's files are unreachable
from pathlib import Path
from typing import Any, NoReturn

from harness.foreign.files import in_root
from harness.host import cgroups, syscalls

ADDRESS = "/run/stillframe/init"
STORAGE = "/srv/stillframe"
SHARED = "/srv/share"
LEAF = "init"
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
PACKET = 1 << 20
FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
"""Where programs are, in the order of a node's PATH."""
DEEPER = ("usr/local/libexec", "usr/local/lib", "usr/libexec", "usr/lib", "opt")
"""Where engines have programs of their own."""
KEPT = ".distrib"
"""What `dpkg-divert` adds to the name of a program that it puts aside."""
SCRIPT = b"#!"


def run(spec: dict[str, Any], groups: list[str], unified: str) -> NoReturn:
    """Become the init of the node that `spec` describes; never returns."""
    code = 1
    try:
        syscalls.die_with_parent(signal.SIGKILL)
        pid = int(os.readlink("/proc/self"))  # its number on the host: /proc is still the host's
        _enter(spec, groups, unified)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            os.makedirs(os.path.dirname(ADDRESS), 0o700)
            server.bind(ADDRESS)
            server.listen(64)
            os.write(spec["ready"], json.dumps({"pid": pid}).encode() + b"\n")
            for inherited in (spec["ready"], spec["lifeline"]):
                os.close(inherited)
            _Init(server).serve()
        code = 0
    except OSError as error:
        told = ": ".join(map(str, filter(None, (error.filename, error.strerror)))) or str(error)
        with contextlib.suppress(OSError):
            os.write(spec["ready"], json.dumps({"error": told}).encode() + b"\n")
    finally:
        os._exit(code)


def _enter(spec: dict[str, Any], groups: list[str], unified: str) -> None:
    for group in groups:
        cgroups.join(group)
    os.mkdir(f"{unified}/{LEAF}")
    leaf = os.open(f"{unified}/{LEAF}/cgroup.procs", os.O_WRONLY)
    syscalls.unshare(
        syscalls.CLONE_NEWNS
        | syscalls.CLONE_NEWCGROUP
        | syscalls.CLONE_NEWIPC
        | syscalls.CLONE_NEWUTS
        | syscalls.CLONE_NEWNET
    )
    os.write(leaf, b"0")  # not earlier: the process's group becomes the namespace's root
    os.close(leaf)
    builds = [(os.open(source, os.O_PATH), program) for source, program in spec["builds"]]  # see `_build_root`
    _build_root(spec["lower"], spec["v1"], spec["share"])
    for source, program in builds:
        lay(f"/proc/self/fd/{source}", program)
        os.close(source)
    socket.sethostname(spec["name"][:64])
    syscalls.loopback_up()


def _build_root(layers: list[str], v1: dict[str, str], share: dict[str, str]) -> None:
    """Mount the node's root: the stack below all, what is over it, one tmpfs for all that is written, shared folders.

    `share`: folders of the host by their place in the node.
    """
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    lower = [_opened(each) for each in layers]  # before the tmpfs covers /tmp: the stack may be there
    shared = {target: _opened(each) for target, each in share.items()}
    syscalls.mount("stillframe", "/tmp", "tmpfs", options="mode=0700")  # noqa: S108
    os.chdir("/tmp")  # noqa: S108
    names = [f"lower{number}" for number in range(len(layers))]
    for folder in (*names, "upper", "work", "root", "storage"):
        os.mkdir(folder, 0o755)
    for name, layer in zip(names, lower, strict=True):
        syscalls.mount(f"/proc/self/fd/{layer}", name, flags=syscalls.MS_BIND)
        syscalls.mount("none", name, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
        os.close(layer)
    below = f"lowerdir={':'.join(names)}"
    syscalls.mount("overlay", "root", "overlay", options=f"{below},upperdir=upper,workdir=work")
    quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    for source, target, kind, flags, options in (
        ("proc", "/proc", "proc", quiet, ""),
        ("sysfs", "/sys", "sysfs", quiet, ""),
        *_cgroup_mounts(v1, quiet),
        ("dev", "/dev", "tmpfs", syscalls.MS_NOSUID, "mode=0755"),
        ("run", "/run", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=0755"),
        ("tmp", "/tmp", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777"),  # noqa: S108
        ("storage", STORAGE, "", syscalls.MS_BIND, ""),
    ):
        syscalls.mount(source, _made("root", target), kind, flags, options)
    _populate_dev(_made("root", "/dev"))
    for place, shown in shared.items():
        _share(shown, _made("root", place))
    syscalls.pivot_root("root")


def _opened(folder: str) -> int:
    return os.open(folder, os.O_PATH | os.O_DIRECTORY)


def _made(root: str, target: str) -> str:
    """Make a folder that the node will have at `target`; return its path. No link of the stack leads to the host."""
    path = in_root(Path(root), target)
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


def _share(folder: int, target: str) -> None:
    """Mount a folder of the host, without what is mounted below it; no device and no set-user-ID program works."""
    syscalls.mount(f"/proc/self/fd/{folder}", target, flags=syscalls.MS_BIND)
    kept = os.statvfs(target).f_flag & (syscalls.MS_RDONLY | syscalls.MS_NOEXEC)  # or the host's own would be lifted
    limits = kept | syscalls.MS_NOSUID | syscalls.MS_NODEV
    syscalls.mount("none", target, flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | limits)
    os.close(folder)


def _cgroup_mounts(v1: dict[str, str], flags: int) -> list[tuple[str, str, str, int, str]]:
    """Return the mounts for cgroup2, or for every v1 hierarchy in which the node owns a group."""
    where = "/sys/fs/cgroup"
    if not v1:
        return [("cgroup2", where, "cgroup2", flags, "")]
    each = [("cgroup", f"{where}/{name}", "cgroup", flags, options) for name, options in v1.items()]
    return [("cgroup", where, "tmpfs", flags, "mode=0755"), *each]


def _populate_dev(dev: str) -> None:
    mask = os.umask(0)
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"{dev}/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
    os.umask(mask)
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{dev}/{name}")
    for folder in ("pts", "shm", "mqueue"):
        os.mkdir(f"{dev}/{folder}")
    syscalls.mount("devpts", f"{dev}/pts", "devpts", syscalls.MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620")
    os.symlink("pts/ptmx", f"{dev}/ptmx")
    syscalls.mount("shm", f"{dev}/shm", "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NODEV, "mode=1777")


def places(root: str, program: str) -> list[str]:
    """Return where below `root` a program is, relative to it; what leads to one folder counts once."""
    found: dict[str, str] = {}
    for folder in FOLDERS:
        _note(found, root, folder, program)
    for base in DEEPER:
        top = in_root(Path(root), base)
        for at, _, files in os.walk(top):
            if program in files:
                _note(found, root, f"{base}/{os.path.relpath(at, top)}".removesuffix("/."), program)
    return list(found.values())


def _note(found: dict[str, str], root: str, folder: str, program: str) -> None:
    there = in_root(Path(root), folder)
    path = there / program
    if path.is_symlink() or (path.is_file() and os.access(path, os.X_OK)):
        found.setdefault(str(there), f"{folder}/{program}")


def lay(source: str, program: str) -> None:
    """Lay a program, or the files of an install root that has it, over the root file system.

    The program then is wherever the root file system has it. A script keeps what it replaces, with `.distrib` after
    the name, so that it can call that.
    """
    there, given, laid = places("/", program), source, set()
    if os.path.isdir(source):
        given = str(in_root(Path(source), places(source, program)[0]))
        for at, folders, files in os.walk(source):
            below = os.path.normpath(f"/{os.path.relpath(at, source)}")
            os.makedirs(below, exist_ok=True)
            for name in (*files, *(each for each in folders if os.path.islink(f"{at}/{each}"))):
                target = f"{below}/{name}"
                if not os.path.islink(f"{at}/{name}"):
                    if os.path.isfile(f"{at}/{name}"):
                        _copy(f"{at}/{name}", target)
                elif os.path.islink(target) or not os.path.isdir(target):  # a folder stays, with what is in it
                    _make_room(target)
                    os.symlink(os.readlink(f"{at}/{name}"), target)
                laid.add(os.path.realpath(target))
    for place in there:
        if os.path.realpath(f"/{place}") not in laid:
            _copy(given, f"/{place}")


def _copy(source: str, target: str) -> None:
    with open(source, "rb") as file:
        _make_room(target, kept=file.read(len(SCRIPT)) == SCRIPT)
        with open(target, "xb") as copy:
            offset = 0
            while sent := os.sendfile(copy.fileno(), file.fileno(), offset, 1 << 30):
                offset += sent
            os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))


def _make_room(target: str, *, kept: bool = False) -> None:
    if kept and os.path.lexists(target) and not os.path.lexists(f"{target}{KEPT}"):
        os.rename(target, f"{target}{KEPT}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(target)


class _Init:
    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self._clients: dict[int, socket.socket] = {}
        self._sessions: dict[int, int] = {}  # client's descriptor -> process id of the session's leader
        self._unwanted: set[int] = set()  # signalled leaders: their sessions are killed when they end
        self._child_ended, wake = os.pipe()
        for descriptor in (self._child_ended, wake):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        self._poll = select.poll()
        self._poll.register(server, select.POLLIN)
        self._poll.register(self._child_ended, select.POLLIN)

    def serve(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._server.fileno():
                    client, _ = self._server.accept()
                    self._clients[client.fileno()] = client
                    self._poll.register(client, select.POLLIN)
                elif descriptor == self._child_ended:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._child_ended, 4096)
                    self._reap()
                elif descriptor in self._clients:
                    self._hear(self._clients[descriptor])

    def _hear(self, client: socket.socket) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(client, PACKET, 3)
        except ConnectionError:
            packet, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)  # noqa: FBT003  # recv_fds forgets MSG_CMSG_CLOEXEC
        session = self._sessions.get(client.fileno())
        if not packet:
            self._signal(session, signal.SIGKILL)
            self._drop(client)
            return
        request = json.loads(packet)
        if "signal" in request:
            if session is not None:
                self._unwanted.add(session)
            self._signal(session, request["signal"])
        else:
            self._sessions[client.fileno()] = _spawn(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._unwanted:
                self._unwanted.discard(pid)
                self._signal(pid, signal.SIGKILL)
            for descriptor, leader in list(self._sessions.items()):
                if leader == pid:
                    client = self._clients[descriptor]
                    with contextlib.suppress(OSError):
                        client.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
                    self._drop(client)

    def _drop(self, client: socket.socket) -> None:
        self._poll.unregister(client)
        self._sessions.pop(client.fileno(), None)
        del self._clients[client.fileno()]
        client.close()

    def _signal(self, session: int | None, number: int) -> None:
        if session is not None:
            for send in (os.killpg, os.kill):  # os.kill: a new process may have no session yet
                with contextlib.suppress(ProcessLookupError):
                    send(session, number)


def _spawn(request: dict[str, Any], descriptors: list[int]) -> int:
    given = iter(descriptors)
    streams = [next(given) if passed else os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC) for passed in request["stdio"]]
    pid = os.fork()
    if pid == 0:
        _execute(request, streams)
    for passed, stream in zip(request["stdio"], streams, strict=True):
        if not passed:
            os.close(stream)
    return pid


def _execute(request: dict[str, Any], streams: list[int]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
        if request.get("terminal"):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        os.chdir(request["cwd"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])  # noqa: S606
    except OSError as error:
        where = request["argv"][0] if error.errno != errno.ENOTDIR else request["cwd"]
        with contextlib.suppress(OSError):
            os.write(2, f"{where}: {error.strerror}\n".encode())
        os._exit(127 if error.errno == errno.ENOENT else 126)
    finally:
        os._exit(126)
