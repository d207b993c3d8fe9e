from __future__ import annotations

from reports.text import clean, shorten, unbroken


def test_a_number_keeps_its_unit() -> None:
    assert unbroken("1/1 disk-ahead +45.2 ms (<4.9 %)").split(" ") == [
        *("1/1", "disk-ahead", "+45.2\N{NO-BREAK SPACE}ms", "(<4.9\N{NO-BREAK SPACE}%)")
    ]


def test_control_characters_are_replaced() -> None:
    assert clean("a\x1b[31m\u202eb\tc\n") == "a\ufffd[31m\ufffdb\tc\n"


def test_a_very_long_text_is_cut_and_says_so() -> None:
    assert shorten("a\n b " * 3, 90) == "a b a b a b"
    assert shorten("ab" * 60, 90) == "ab" * 44 + "a…"
    assert shorten(" " * 1_000_000 + "b") == "…"
