"""Checkouts of git. Their configuration may name programs, so git works in each as whoever owns it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.host.process import HOST

GIT_SECONDS = 120.0
BAD = "refs/heads/bad"


def git(folder: Path, *words: str, deadline: float = GIT_SECONDS) -> str:
    """Call git in a folder of a checkout, as the owner of the checkout; `CommandFailed` if it fails."""
    found = (each / ".git" for each in (folder.absolute(), *folder.absolute().parents))
    status = next((each for each in found if each.exists()), folder).stat()
    argv = ["git", "-c", "safe.directory=*", "-C", str(folder), *words]
    return HOST.run([*as_owner(status), *argv], deadline=deadline).stdout.strip()


def as_owner(status: os.stat_result) -> list[str]:
    """Begin a command line that acts as the owner of a file; empty for root's."""
    user = ["setpriv", f"--reuid={status.st_uid}", f"--regid={status.st_gid}", "--clear-groups"]
    return user if status.st_uid else []


class Tree:
    """A source tree at one commit after the other, for builds that may write anywhere in it.

    The repository in the tree is a copy for the build alone. What works on the machine itself is beside the tree.
    """

    def __init__(self, source: Path, folder: Path, bad: str) -> None:
        """Copy the history of the commit `bad` from a checkout into a folder."""
        self.path = folder / "tree" / source.resolve().name
        self._history, self._own = folder / "history.git", folder / "own.git"
        (folder / "gitconfig").write_text("[safe]\n\tdirectory = *\n", encoding="ascii")  # the source is another user's
        shared = ["git", "clone", "--quiet", "--bare", "--shared", str(source.resolve()), str(self._history)]
        HOST.run(shared, deadline=GIT_SECONDS, env={"GIT_CONFIG_GLOBAL": str(folder / "gitconfig")})
        self.git("update-ref", BAD, bad)
        self.git("repack", "-a", "-d", "-q")
        (self._history / "objects/info/alternates").unlink(missing_ok=True)  # a shallow one was copied

    def git(self, *words: str) -> str:
        """Call git in the copied history, where no build comes to."""
        return HOST.run(["git", "-C", str(self._history), *words], deadline=GIT_SECONDS).stdout.strip()

    @contextlib.contextmanager
    def at(self, commit: str) -> Iterator[None]:
        """Have the files of a commit in the tree; a build has a repository there meanwhile."""
        for each in (self.path, self._own):
            shutil.rmtree(each, ignore_errors=True)
        clone = ["git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", f"--separate-git-dir={self._own}"]
        HOST.run([*clone, str(self._history), str(self.path)], deadline=GIT_SECONDS)
        HOST.run(["git", "-C", str(self.path), "checkout", "--quiet", "--detach", commit], deadline=GIT_SECONDS)
        there = self.path / ".git"
        link = there.read_bytes()
        there.unlink()
        shutil.copytree(self._own, there)
        try:
            yield
        finally:
            shutil.rmtree(there, ignore_errors=True)
            there.unlink(missing_ok=True)
            there.write_bytes(link)


@contextlib.contextmanager
def workspace(prefix: str) -> Iterator[Path]:
    """Give a new temporary folder; folders of those who were killed are removed."""
    for each in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        if each.lstat().st_uid == os.geteuid() and not each.is_symlink():
            with contextlib.suppress(OSError), (each / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(each, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, Path(folder, "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)
