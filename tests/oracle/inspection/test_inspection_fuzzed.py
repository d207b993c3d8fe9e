"""Checkpoints with random changes: whatever the bytes are, the reading ends with a result or a known error."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.checkpoints.needs import needs
from harness.checkpoints.untrusted import Budget, Unreadable
from harness.model.errors import StillframeError
from harness.oracle.inspection import inspect
from harness.oracle.processes import processes
from harness.records.inspection import Finding
from tests.criu_images import MAGICS, PAGE, memory, message, ring
from tests.oracle.inspection.test_inspection import containerd, packed, podman
from tests.real_checkpoints import plain

MANY = int(os.environ.get("STILLFRAME_FUZZ", "0"))
"""Number of random examples per test, which differ in each run; 0: a few examples, always the same."""
EXAMPLES = settings(
    max_examples=MANY or 150,
    deadline=None,
    derandomize=not MANY,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@cache
def valid() -> tuple[bytes, ...]:
    """Valid checkpoints."""
    layer = {"data/added.ring": ring()}
    with tempfile.TemporaryDirectory() as folder:
        a, b = podman(Path(folder, "a"), layer), packed(containerd(Path(folder, "b"), layer))
        return a.read_bytes(), b.read_bytes()


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """A valid checkpoint with bytes changed, removed or added, mostly in headers."""
    data = bytearray(draw(st.sampled_from(valid())))
    for _ in range(draw(st.integers(1, 4))):
        block = draw(st.integers(0, len(data) // 512)) * 512
        at = min(len(data), block + draw(st.integers(0, 511)))
        length = draw(st.sampled_from([0, 1, 8, 12, 512, 4096]))
        data[at : at + length] = draw(st.binary(max_size=16) | st.just(b"\xff" * 12) | st.just(b"7" * 11))
    return bytes(data)


REAL = (
    "containerd-runc-deleted-file",
    "crio-runc-image-file",
    "ledger-2",
    "podman-image-docker",
    "printed-ahead",
    "still-voldata",
)
"""Archives that cover each engine, and each kind of content."""


@cache
def real(name: str) -> tuple[bytes, tuple[int, ...]]:
    """An archive made by an engine, and the offsets of its members."""
    data = plain(name)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return data, tuple(start for member in archive for start in (member.offset, member.offset_data))


@st.composite
def spoiled_real(draw: st.DrawFn) -> bytes:
    """An engine's archive with bytes changed, removed or added, near the beginnings of members and their contents."""
    whole, starts = real(draw(st.sampled_from(REAL)))
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = min(len(data), draw(st.sampled_from(starts)) + draw(st.integers(0, 1023)))
        length = draw(st.sampled_from([0, 1, 8, 12, 512, 4096]))
        data[at : at + length] = draw(st.binary(max_size=16) | st.just(b"\xff" * 12) | st.just(bytes(length)))
    return bytes(data)


@contextlib.contextmanager
def nothing_else_is_written(folder: Path) -> Iterator[None]:
    own, before = folder / "own", sorted(folder.rglob("*"))
    own.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(own))
        yield
    own.rmdir()
    assert sorted(folder.rglob("*")) == before


def examine(folder: Path, data: bytes) -> None:
    path = folder / "it"
    path.write_bytes(data)
    read(path, folder)


def read(path: Path, folder: Path) -> None:
    """Read a checkpoint with every command that reads one."""
    with nothing_else_is_written(folder):
        with contextlib.suppress(Unreadable):
            assert inspect(path, {}, budget=small()).finding in Finding
        with contextlib.suppress(Unreadable):
            assert needs(path, small()).digest


def small() -> Budget:
    return Budget(read=64 << 20, kept=16 << 20, seconds=30)


@EXAMPLES
@given(data=st.binary(max_size=4096) | st.binary(max_size=600).map(lambda data: b"\x1f\x8b\x08\0" + data))
def test_bytes_of_any_kind_are_read_or_declined(tmp_path: Path, data: bytes) -> None:
    examine(tmp_path, data)


@EXAMPLES
@given(data=spoiled())
def test_spoiled_checkpoints_are_read_or_declined(tmp_path: Path, data: bytes) -> None:
    examine(tmp_path, data)


@settings(EXAMPLES, max_examples=MANY or 60)
@given(data=spoiled_real())
def test_spoiled_archives_of_engines_are_read_or_declined(tmp_path: Path, data: bytes) -> None:
    examine(tmp_path, data)


@EXAMPLES
@given(
    entries=st.lists(
        st.dictionaries(st.integers(1, 6), st.integers(0, (1 << 64) - 1), max_size=5).map(message)
        | st.binary(max_size=12),
        max_size=6,
    ),
    parent=st.sampled_from([".", "..", "/", "parent", "nowhere", "\udcff"]),
)
def test_pagemaps_of_any_kind_are_read_or_declined(tmp_path: Path, entries: list[bytes], parent: str) -> None:
    for path in tmp_path.iterdir():
        path.unlink()
    (tmp_path / "pagemap-1.img").write_bytes(MAGICS + message({1: 1}) + b"".join(entries))
    (tmp_path / "pages-1.img").write_bytes(memory() + bytes(PAGE))
    (tmp_path / "parent").symlink_to(parent)
    with contextlib.suppress(StillframeError):
        assert processes(tmp_path, Budget(seconds=30))
