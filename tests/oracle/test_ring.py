"""Rings and memory pages made by hand: the reading must report each change."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from harness.model.readings import SurfaceReading
from harness.oracle.ring import (
    MAGIC,
    RECORD,
    VERSIONS,
    MemoryCounter,
    Records,
    make_records,
    parse_counter,
    read_ring,
    records_of,
)
from harness.workload.definitions import RECORD_BYTES

NONCE = 0xFEED_FACE_CAFE_BEEF
RING = 64
NEWEST = 1000
NOON = 1_795_435_200_000_000_000
STEP = 1000


def slots() -> Records:
    return np.frombuffer(bytearray(records_of(NONCE, NEWEST, RING, NOON)), RECORD)


def read(records: Records) -> SurfaceReading:
    return read_ring(records.tobytes(), surface="added", nonce=NONCE, ring=RING)


def expected(newest: int | None = NEWEST, **other: int) -> SurfaceReading:
    wall = None if newest is None else NOON - (NEWEST - newest) * STEP
    return SurfaceReading(surface="added", newest=newest, newest_wall_ns=wall, **other)


def test_a_record_has_the_size_that_the_harness_reserves() -> None:
    assert RECORD.itemsize == RECORD_BYTES


def test_the_check_is_the_one_of_the_layout() -> None:
    """The checksum, computed with Python's integers after the header of the C source."""

    def mix64(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    (record,) = make_records([NEWEST], [NOON], NONCE)
    assert int(record["check"]) == mix64(mix64(mix64(NEWEST) ^ NOON) ^ NONCE)


@pytest.mark.parametrize("newest", [1, 2, RING - 1, RING, RING + 1, 10 * RING + 7])
def test_an_intact_ring_reads_clean(newest: int) -> None:
    reading = read_ring(records_of(NONCE, newest, RING, NOON), surface="added", nonce=NONCE, ring=RING)
    assert reading == SurfaceReading(surface="added", newest=newest, newest_wall_ns=NOON)


def change(tick: int, **fields: int) -> Callable[[Records], None]:
    def apply(records: Records) -> None:
        for name, value in fields.items():
            records[name][tick % RING] = value

    return apply


def replace(tick: int, record: Records) -> Callable[[Records], None]:
    def apply(records: Records) -> None:
        records[tick % RING] = record[0]

    return apply


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        pytest.param(lambda records: records.fill(0), expected(None), id="empty"),
        pytest.param(change(NEWEST - 5, wall_ns=1), expected(torn=1, holes=1), id="torn-wall"),
        pytest.param(change(NEWEST - 5, n=NEWEST - 6), expected(torn=1, holes=1), id="torn-n"),
        pytest.param(change(NEWEST - 5, nonce=1), expected(torn=1, holes=1), id="torn-nonce"),
        pytest.param(change(NEWEST - 5, check=0), expected(torn=1, holes=1), id="torn-check"),
        pytest.param(change(NEWEST, check=0), expected(NEWEST - 1, torn=1, holes=1), id="torn-newest"),
        pytest.param(
            replace(NEWEST - 5, make_records([NEWEST - 5], [NOON], NONCE + 1)),
            expected(foreign=1, holes=1),
            id="foreign-nonce",
        ),
        pytest.param(
            replace(NEWEST - 5, make_records([NEWEST + 1], [NOON], NONCE)),
            expected(foreign=1, holes=1),
            id="wrong-slot",
        ),
        pytest.param(replace(NEWEST - 5, np.zeros(1, RECORD)), expected(holes=1), id="lost"),
        pytest.param(
            replace(NEWEST - 5, make_records([NEWEST - 5 - RING], [NOON], NONCE)), expected(holes=1), id="older"
        ),
        pytest.param(replace(NEWEST, np.zeros(1, RECORD)), expected(NEWEST - 1, holes=1), id="newest-lost"),
        pytest.param(
            replace(NEWEST - 5, make_records([NEWEST - 5], [NOON], NONCE)), expected(backwards=1), id="backwards"
        ),
        pytest.param(
            replace(NEWEST - NEWEST % RING, make_records([NEWEST - NEWEST % RING], [1], NONCE)),
            expected(backwards=1),
            id="backwards-across-the-end-of-the-file",
        ),
    ],
)
def test_damage_is_counted(damage: Callable[[Records], Any], found: SurfaceReading) -> None:
    records = slots()
    damage(records)
    assert read(records) == found


def test_another_process_left_nothing_of_ours() -> None:
    reading = read_ring(records_of(NONCE + 1, NEWEST, RING, NOON), surface="added", nonce=NONCE, ring=RING)
    assert reading == SurfaceReading(surface="added", newest=None, newest_wall_ns=None, foreign=RING)


def test_a_file_cut_off_has_holes_but_its_slots_keep_their_place() -> None:
    half = records_of(NONCE, NEWEST, RING, NOON)[: RING // 2 * RECORD_BYTES]
    newest = NEWEST - NEWEST % RING + RING // 2 - 1
    assert read_ring(half, surface="added", nonce=NONCE, ring=RING) == expected(newest, holes=RING // 2)


def test_a_longer_file_is_read_up_to_the_ring_and_no_file_is_empty() -> None:
    data = records_of(NONCE, NEWEST, RING, NOON)
    assert read_ring(data + b"\xff" * 100, surface="added", nonce=NONCE, ring=RING) == expected()
    assert read_ring(b"", surface="added", nonce=NONCE, ring=RING) == expected(None)


def test_ticks_at_the_end_of_the_numbers_do_no_harm() -> None:
    records = np.zeros(RING, RECORD)
    records[RING - 1] = make_records([2**64 - 1], [NOON], NONCE)[0]
    assert read(records).newest == 2**64 - 1
    assert read(records).holes == RING - 1


def pages(n: int = NEWEST, ring: int = RING, version: int = VERSIONS[-1], nonce: int = NONCE) -> bytes:
    """The workload's memory at tick `n`; the other buffer holds the tick before."""
    pair = make_records([n, max(0, n - 1)], [NOON, NOON - STEP], NONCE)
    both = pair if n % 2 == 0 else pair[::-1]
    return struct.pack("<16sIIQQ", MAGIC, version, ring, nonce, n) + both.tobytes()


@pytest.mark.parametrize("n", [0, 1, NEWEST, NEWEST + 1])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_counter_is_read_where_it_lies(n: int, version: int) -> None:
    found = parse_counter(b"\xaa" * 12345 + pages(n, version=version) + b"\xbb" * 99, 12345)
    assert found == MemoryCounter(n=n, wall_ns=NOON, nonce=NONCE, ring=RING, version=version)


@pytest.mark.parametrize(
    "invalid",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(MAGIC, id="magic-alone"),
        pytest.param(pages()[:-1], id="cut-off"),
        pytest.param(pages(version=0), id="version-0"),
        pytest.param(pages(version=VERSIONS[-1] + 1), id="version"),
        pytest.param(pages(ring=0), id="ring-0"),
        pytest.param(pages(ring=2**31), id="ring-large"),
        pytest.param(pages(nonce=0), id="nonce-0"),
        pytest.param(pages(nonce=NONCE ^ 1), id="nonce-of-another"),
        pytest.param(pages()[:32] + struct.pack("<Q", NEWEST + 2) + pages()[40:], id="counter-without-its-record"),
        pytest.param(pages()[:48] + b"\1" + pages()[49:], id="wall-changed"),
    ],
)
def test_what_is_not_whole_is_no_counter(invalid: bytes) -> None:
    assert parse_counter(invalid) is None
