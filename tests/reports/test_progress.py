from __future__ import annotations

import io
import sys

import pytest

from reports import progress
from reports.progress import shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "patience", "told"), [(Terminal(), 0.0, True), (Terminal(), 99.0, False), (io.StringIO(), 0.0, False)]
)
def test_only_who_waits_at_a_terminal_is_told(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, patience: float, told: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", patience)
    done: list[int] = []

    def half(value: int) -> int:
        done.append(value // 2)
        return done[-1]

    assert list(shown(range(201), "reading", 100, half)) == list(range(201)), "nothing is lost on the way"
    assert done == ([0, 50, 100] if told else [])
    assert ("reading" in stream.getvalue()) is told


def test_what_breaks_breaks_and_the_line_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(ZeroDivisionError):
        list(shown((1 // number for number in (1, 0)), "reading", 2, int))
    assert stream.getvalue().endswith(("\x1b[2K", "\x1b[?25h\r\x1b[1A\x1b[2K")), "the cursor is back"
