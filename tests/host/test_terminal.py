"""What a program says and what is typed is handed on, in order, and neither side waits for the other for ever."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from harness.host.process import NodeProcess
from harness.host.terminal import KEPT, _pipes, _Relay
from harness.host.wait import until


class Program:
    """Ends when it is told, as an answer of the node's init tells it."""

    def __init__(self) -> None:
        self._ended, self._end = os.pipe()
        self.signals: list[int] = []

    def fileno(self) -> int:
        return self._ended

    def wait(self, _: float) -> int:
        return os.read(self._ended, 1)[0]

    def signal(self, number: int) -> None:
        self.signals.append(number)
        self.end(9)

    def end(self, code: int) -> None:
        os.write(self._end, bytes([code]))


class Asked:
    """Calls, each a byte in a pipe."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.pipe()
        self.said: list[str] = []

    def fileno(self) -> int:
        return self.ours

    def take(self, said: str) -> None:
        os.read(self.ours, 1)
        self.said.append(said)


def relayed(said: dict[int, int], program: Program, asked: Asked, typed: tuple[int, int] | None = None) -> list[int]:
    """Relay in a thread until the program ends; the exit code comes last."""
    codes: list[int] = []
    relay = _Relay(said, cast(NodeProcess, program), asked, typed=typed)
    thread = threading.Thread(target=lambda: codes.append(relay.run()), daemon=True)
    thread.start()
    thread.join(20)
    return codes


def in_thread(act: Callable[[], Any]) -> None:
    threading.Thread(target=act, daemon=True).start()


def test_what_was_said_before_the_end_is_handed_on() -> None:
    (ours, theirs), (read, write) = os.pipe(), os.pipe()
    program = Program()
    os.write(theirs, b"last words")
    program.end(7)
    assert relayed({ours: write}, program, Asked()) == [7]
    assert os.read(read, 99) == b"last words"


def test_who_answers_a_call_knows_what_was_said_since_the_one_before() -> None:
    (ours, theirs), (_, write) = os.pipe(), os.pipe()
    program, asked = Program(), Asked()

    def call(words: bytes, number: int) -> None:
        os.write(theirs, words)
        os.write(asked.theirs, b".")
        until(lambda: len(asked.said) == number, seconds=20, what="a call that is taken")

    def play() -> None:
        call(b"one two", 1)
        call(b"", 2)
        call(b"x" * KEPT + b"end", 3)
        program.end(0)

    in_thread(play)
    assert relayed({ours: write}, program, asked) == [0]
    assert asked.said == ["one two", "", "x" * (KEPT - 3) + "end"]


def test_a_long_paste_does_not_stop_a_program_that_says_it_all_again() -> None:
    pasted = b"0123456789" * 60_000
    (ours, theirs), (typed, typing), (reads, target), (read, write) = (os.pipe() for _ in range(4))
    os.set_blocking(target, False)
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4096)  # so that it is full at once
    program, shown = Program(), bytearray()

    def echo() -> None:
        left = len(pasted)
        while left:
            data = os.read(reads, 4096)
            os.write(theirs, data)
            left -= len(data)
        program.end(0)

    def show() -> None:
        while len(shown) < len(pasted):
            shown.extend(os.read(read, 4096))

    def paste() -> None:
        data = pasted
        while data:
            data = data[os.write(typing, data[:4096]) :]

    for act in (echo, show, paste):
        in_thread(act)
    assert relayed({ours: write}, program, Asked(), (typed, target)) == [0]
    until(lambda: len(shown) == len(pasted), seconds=20, what="all that was pasted")
    assert bytes(shown) == pasted


def test_a_terminal_that_is_gone_ends_the_program() -> None:
    (ours, _), (typed, typing), (_, target), (_, write) = (os.pipe() for _ in range(4))
    program = Program()
    os.close(typing)
    assert relayed({ours: write}, program, Asked(), (typed, target)) == [9]
    assert program.signals == [1]


@pytest.mark.parametrize("same", [True, False])
def test_one_pipe_serves_both_streams_where_both_lead_to_the_same_place(
    monkeypatch: pytest.MonkeyPatch, same: bool
) -> None:
    monkeypatch.setattr(os.path, "sameopenfile", lambda *_: same)
    with _pipes() as (ours, (out, err)):
        assert (out == err) is same
        assert sorted(ours.values()) == ([1] if same else [1, 2])
        os.write(err, b"x")
        assert os.read(next(source for source, target in ours.items() if target == (1 if same else 2)), 9) == b"x"
        for descriptor in {out, err}:
            os.close(descriptor)
