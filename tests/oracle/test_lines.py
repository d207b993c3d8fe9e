"""Logs in the formats of engines, and the reading of a process's lines in them."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from collections.abc import Callable, Iterable

import pytest

from harness.model.readings import SurfaceReading
from harness.oracle import lines
from harness.oracle.lines import LINE, UNFILLED, LineReader, lag, line_of, read_lines

NONCE, OTHER = 0xC0FFEE, 0xDEADBEEF
TIME = b"2026-11-28T22:49:00.123456789+00:00"

Form = Callable[[bytes], bytes]


def raw(text: bytes) -> bytes:
    return text


def kubernetes(text: bytes, stream: bytes = b"stdout") -> bytes:
    """Podman's k8s-file, CRI-O and containerd: an entry for each line, and one for a line without an end."""
    return b"".join(
        b" ".join((TIME, stream, b"F" if part.endswith(b"\n") else b"P", part.removesuffix(b"\n"))) + b"\n"
        for part in text.splitlines(keepends=True)
    )


def docker(text: bytes, stream: str = "stdout") -> bytes:
    return b"".join(
        json.dumps({"log": part.decode(), "stream": stream, "time": "2026-11-28T22:49:00.123456789Z"}).encode() + b"\n"
        for part in text.splitlines(keepends=True)
    )


def terminal(form: Form) -> Form:
    return lambda text: form(text.replace(b"\n", b"\r\n"))


FORMS = {
    "raw": raw,
    "kubernetes": kubernetes,
    "docker": docker,
    "raw terminal": terminal(raw),
    "kubernetes terminal": terminal(kubernetes),
    "docker terminal": terminal(docker),
}
every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def printed(ticks: Iterable[int], nonce: int = NONCE) -> bytes:
    return b"".join(line_of(nonce, n) for n in ticks)


def read(*log: bytes, every: int = 1) -> SurfaceReading:
    return read_all(log, every=every)


def read_all(log: Iterable[bytes], every: int = 1) -> SurfaceReading:
    return read_lines(log, surface="stdout", nonce=NONCE, every=every)


def held(newest: int | None, every: int = 1, **found: int) -> SurfaceReading:
    return SurfaceReading(surface="stdout", newest=newest, newest_wall_ns=None, lag=lag(every), **found)


def test_a_line_is_the_workload_s() -> None:
    told = b"stillframe c80220fbc04b9e23 3 56898cd493c21c92"
    assert line_of(0xC80220FBC04B9E23, 3) == told + b"." * 209 + b"\n"
    assert line_of(0xC80220FBC04B9E23, 3, UNFILLED) == told + b"\n"


@every_form
def test_lines_in_a_row_are_all_there(form: Form) -> None:
    assert read(form(printed(range(1, 101)))) == held(100)


@every_form
def test_a_log_may_begin_anywhere(form: Form) -> None:
    assert read(form(printed(range(57, 101)))) == held(100)


@every_form
def test_lines_of_every_few_ticks_are_all_there(form: Form) -> None:
    assert read(form(printed(range(10, 101, 10))), every=10) == held(100, every=10)
    assert read(form(printed((10, 20, 40, 70, 70))), every=10) == held(70, every=10, holes=3, repeated=1)


@every_form
def test_a_log_without_lines_holds_nothing(form: Form) -> None:
    assert read() == read(b"") == read(form(b"begin\n\nstill going\n")) == held(None)


@every_form
def test_lines_below_the_newest_that_are_missing_are_counted(form: Form) -> None:
    assert read(form(printed((1, 2, 5, 6, 9)))) == held(9, holes=4)


@every_form
def test_lines_that_were_there_before_are_counted(form: Form) -> None:
    assert read(form(printed((*range(1, 31), *range(21, 41))))) == held(40, repeated=10)


@every_form
def test_a_line_that_comes_late_is_missing_where_it_should_be_and_repeated_where_it_is(form: Form) -> None:
    assert read(form(printed((1, 3, 2, 4)))) == held(4, holes=1, repeated=1)


@every_form
def test_lines_of_another_process_are_counted_and_are_none_of_its_own(form: Form) -> None:
    assert read(form(printed((7, 8), OTHER) + printed((1, 2)) + printed((9,), OTHER))) == held(2, foreign=3)


@every_form
@pytest.mark.parametrize(
    "damage",
    [
        lambda line: line.replace(b" 2 ", b" 3 "),
        lambda line: line.replace(b"c0ffee", b"c0ffef"),
        lambda line: line[:30] + b"\n",
        lambda line: line[:-1] + b"0\n",
        lambda line: line[:-1] + b".\n",
        lambda line: line[:-2] + b"\n",
        lambda line: line.replace(b".", b""),
        lambda line: line.replace(b" 2 ", b" x "),
        lambda line: line.replace(b" 2 ", b" 99999999999999999999 "),
        lambda line: line.upper().replace(b"STILLFRAME", b"stillframe"),
    ],
    ids=[
        "number",
        "nonce",
        "cut off",
        "other text",
        "longer",
        "shorter",
        "no dots",
        "no number",
        "too large a number",
        "capitals",
    ],
)
def test_a_line_that_is_damaged_is_torn_and_missing(form: Form, damage: Callable[[bytes], bytes]) -> None:
    assert read(form(printed((1,)) + damage(line_of(NONCE, 2)) + printed((3,)))) == held(3, torn=1, holes=1)


@every_form
def test_two_lines_without_an_end_between_them_are_a_torn_one_and_one_that_is_whole(form: Form) -> None:
    glued = line_of(NONCE, 2).removesuffix(b"\n") + line_of(NONCE, 3)
    assert read(form(printed((1,)) + glued)) == held(3, torn=1, holes=1)


@every_form
def test_what_others_print_before_a_line_does_no_harm(form: Form) -> None:
    assert read(form(printed((1,)) + b"loading... " + printed((2, 3)))) == held(3)


@every_form
@pytest.mark.parametrize("left", [0, 1, 10, 100, 240, 250])
def test_the_tail_of_a_line_at_the_beginning_is_nobody_s(form: Form, left: int) -> None:
    """A terminal may have taken a part of a line when the process was stopped."""
    assert read(form(line_of(NONCE, 8)[-left:] if left else b"") + form(printed((9, 10)))) == held(10)


@pytest.mark.parametrize("cut", range(1, 300, 17))
@every_form
def test_what_is_cut_off_at_the_very_end_is_not_there_yet(form: Form, cut: int) -> None:
    assert read(form(printed((1, 2))) + form(line_of(NONCE, 3))[:-cut]) == held(2)


def test_what_a_partial_entry_begins_is_not_there_yet() -> None:
    begun = line_of(NONCE, 3)[:20]
    assert read(kubernetes(printed((1, 2)) + begun)) == held(2)
    assert read(docker(printed((1, 2)) + begun)) == held(2)


@pytest.mark.parametrize("form", [kubernetes, docker])
def test_entries_of_one_line_are_joined(form: Form) -> None:
    line = line_of(NONCE, 2)
    log = form(printed((1,))) + form(line[:5]) + form(line[5:25]) + form(line[25:]) + form(printed((3,)))
    assert read(log) == held(3)


def test_an_entry_may_have_more_tags() -> None:
    line = line_of(NONCE, 1)
    log = b" ".join((TIME, b"stdout", b"P:x", line[:9])) + b"\n" + b" ".join((TIME, b"stdout", b"F:x:y", line[9:]))
    assert read(log) == held(1)


def test_the_error_stream_neither_counts_nor_disturbs() -> None:
    line = line_of(NONCE, 2)
    for form, errors in (
        (kubernetes, kubernetes(printed((9,)), b"stderr")),
        (docker, docker(printed((9,)), "stderr")),
    ):
        assert read(form(printed((1,))) + form(line[:9]) + errors + form(line[9:])) == held(2)


@every_form
def test_pieces_of_any_size_make_the_same_log(form: Form) -> None:
    log = form(printed(range(1, 50)) + b"something else\n" + printed((60, 61, 61)))
    generator = random.Random(7)
    for _ in range(20):
        cuts = sorted(generator.randrange(len(log)) for _ in range(30))
        assert read(*(log[a:b] for a, b in zip([0, *cuts], [*cuts, len(log)], strict=True))) == read(log)
    assert read(*(log[at : at + 1] for at in range(len(log)))) == held(61, holes=10, repeated=1)


def test_the_first_lines_that_are_missing_or_repeated_are_named() -> None:
    reader = LineReader(NONCE)
    reader.feed(printed((5, 6, 10, 11, 10, 11, 12, 20, 11)))
    assert (reader.first, reader.newest) == (5, 20)
    assert (reader.lost, reader.again) == ((7, 9), (10, 11))
    reader = LineReader(NONCE, every=5)
    reader.feed(printed((5, 20, 10, 15, 20, 25)))
    assert (reader.lost, reader.again) == ((10, 15), (10, 20))


def test_json_that_is_no_entry_is_somebody_s_line() -> None:
    log = b'{"log":1,"stream":"stdout"}\n{"log":"x"}\n{"level": "info"}\n{"log\n["stdout"]\n'
    assert read(log + printed((1,))) == held(1)


def test_what_is_no_text_is_somebody_s_line() -> None:
    assert read(bytes(range(256)) * 5 + b"\n" + printed((1,)) + b"\xff\xfe\n") == held(1)


def test_a_line_without_an_end_takes_no_more_memory_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINE", 4096)
    tracemalloc.start()
    try:
        found = read_all(itertools.chain((b"stillframe " * 1000 for _ in range(500)), [b"\n" + printed((1,))]))
        entries = (kubernetes(b"stillframe " * 50) for _ in range(5000))
        partial = read_all(itertools.chain(entries, [kubernetes(b"\n" + printed((2,)))]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (found, partial) == (held(1, torn=1), held(2, torn=1))
    assert peak < 1 << 20


def test_a_log_may_be_behind_by_what_pipe_and_monitor_hold() -> None:
    for length in (LINE, UNFILLED):
        assert len(line_of(NONCE, 1, length)) == length
        assert (lag(length=length) - 1) * length <= lines.PIPE + lines.MONITOR < lag(length=length) * length
    assert lag(10) == 10 * lag()


def test_lines_of_an_older_process_have_no_dots() -> None:
    log = b"".join(line_of(NONCE, n, UNFILLED) for n in (7, 8, 10, 11))
    found = read_lines([log], surface="stdout", nonce=NONCE, length=UNFILLED)
    assert found == held(11, holes=1).model_copy(update={"lag": lag(length=UNFILLED)})
    filled = read_lines([printed((7, 8))], surface="stdout", nonce=NONCE, length=UNFILLED)
    assert (filled.newest, filled.torn) == (None, 2)


def test_json_that_is_nested_too_deep_is_somebody_s_line() -> None:
    log = b'{"log":' + b"[" * 100_000 + b"\n" + printed(range(1, 4))
    assert read(log) == held(3)


# ---- many lines at once


FAULTS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "none": lambda found: found,
    "one is missing": lambda found: found[:40] + found[41:],
    "one comes twice": lambda found: found[:41] + found[40:],
    "two are swapped": lambda found: [*found[:40], found[41], found[40], *found[42:]],
    "one is torn": lambda found: [*found[:40], found[40].replace(b"0", b"1"), *found[41:]],
    "one is short": lambda found: [*found[:40], found[40].replace(b".", b"", 1), *found[41:]],
    "one is of another process": lambda found: [*found[:40], line_of(OTHER, 41), *found[40:]],
    "one is of another program": lambda found: [*found[:40], b"hello\n", *found[40:]],
    "they go on to the future": lambda found: [*found, line_of(NONCE, 1 << 63), line_of(NONCE, (1 << 64) - 1)],
}


@every_form
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("every", [1, 3])
def test_many_lines_at_once_are_read_as_one_by_one(
    form: Form, fault: Callable[[list[bytes]], list[bytes]], every: int
) -> None:
    told = fault([line_of(NONCE, n * every) for n in range(1, 101)])
    alone, together = LineReader(NONCE, every), LineReader(NONCE, every)
    for line in told:
        alone.feed(form(line))
    log = form(b"".join(told))
    for cut in (0, 5000, 5001, 20_000):
        together = LineReader(NONCE, every)
        together.feed(log[:cut])
        together.feed(log[cut:])
        for name in ("first", "newest", "lost", "again"):
            assert getattr(together, name) == getattr(alone, name)
        assert together.reading("log") == alone.reading("log")
