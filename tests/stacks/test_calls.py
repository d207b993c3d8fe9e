"""A program in a node asks, by the few lines of shell that every stack can run, and its owner answers."""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.host.process import HOST
from harness.host.wait import until
from harness.model.commands import Command
from harness.model.errors import DeadlineExceeded
from harness.stacks import calls
from harness.stacks.calls import FOLDER, PROGRAM, Answer, Calls


@pytest.fixture
def ask(tmp_path: Path) -> Callable[[str], Command]:
    """Call as a program in the node whose root is `tmp_path` does."""
    (tmp_path / FOLDER.lstrip("/")).mkdir(parents=True)
    program = tmp_path / "program"
    program.write_text(PROGRAM.replace(FOLDER, f"{tmp_path}{FOLDER}"), encoding="utf-8")
    return lambda words: HOST.run(["sh", str(program), *shlex.split(words)], accept=range(256), deadline=20)


@contextlib.contextmanager
def served(root: Path, answer: Callable[[list[str], str], Answer], said: str = "") -> Iterator[Calls]:
    with contextlib.closing(Calls(root, answer)) as opened:
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                if select.select([opened], [], [], 0.02)[0]:
                    opened.take(said)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield opened
        finally:
            done.set()
            thread.join()


def test_words_are_answered_with_a_text_and_an_exit_code(tmp_path: Path, ask: Callable[[str], Command]) -> None:
    def answer(words: list[str], said: str) -> Answer:
        return len(words), f"{words} after {said!r}\n\nlast line\n"

    with served(tmp_path, answer, "Looks good."):
        found = ask("restored clone-4 now")
    assert found.exit_code == 3
    assert found.stdout == "['restored', 'clone-4', 'now'] after 'Looks good.'\n\nlast line\n"
    assert [path.name for path in (tmp_path / FOLDER.lstrip("/")).iterdir()] == ["calls"]


def test_an_answer_may_be_long_or_empty(tmp_path: Path, ask: Callable[[str], Command]) -> None:
    long = "x" * 300_000
    with served(tmp_path, lambda words, _: (0, long if words else "")):
        assert ask("long").stdout == long
        assert ask("").stdout == ""


def test_calls_are_answered_one_after_the_other(tmp_path: Path, ask: Callable[[str], Command]) -> None:
    working: list[str] = []
    overlaps: list[str] = []

    def answer(words: list[str], _: str) -> Answer:
        working.append(words[0])
        with contextlib.suppress(DeadlineExceeded):
            until(lambda: len(working) > 1, seconds=0.05, what="another answer at the same time")
            overlaps.append(words[0])
        working.remove(words[0])
        return 0, words[0]

    found: dict[str, str] = {}
    with served(tmp_path, answer):
        threads = [
            threading.Thread(target=lambda n=str(number): found.setdefault(n, ask(n).stdout)) for number in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {str(number): str(number) for number in range(8)}
    assert overlaps == []


def test_who_has_gone_gets_no_answer_and_disturbs_nobody(
    tmp_path: Path, ask: Callable[[str], Command], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "READY_SECONDS", 0.05)
    folder = tmp_path / FOLDER.lstrip("/")
    victim = tmp_path / "victim"
    victim.write_text("kept")
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    (folder / "answer.AAAAAAAA").symlink_to(tmp_path / "pipe")
    (folder / "answer.BBBBBBBB").write_text("kept, too")
    asked: list[list[str]] = []

    def answer(words: list[str], _: str) -> Answer:
        asked.append(words)
        return 0, "told\n"

    with served(tmp_path, answer):
        for name in ("answer.AAAAAAAA", "answer.BBBBBBBB", "answer.CCCCCCCC", "../../victim", ""):
            (folder / "calls").write_text(f"{name} hello\n")
        until(lambda: len(asked) == 3, seconds=10, what="three calls")
        assert ask("who").stdout == "told\n"
    assert asked == [["hello"]] * 3 + [["who"]]
    with pytest.raises(BlockingIOError):
        os.read(pipe, 1)
    os.close(pipe)
    assert victim.read_text() == "kept"
    assert (folder / "answer.BBBBBBBB").read_text() == "kept, too"
