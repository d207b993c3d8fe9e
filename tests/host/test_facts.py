"""Facts about the machine: from its own kernel, and from simulated kernels made of files."""

from __future__ import annotations

import ctypes
import gzip
import mmap
import sys
from pathlib import Path

import pytest

from harness.host import facts
from harness.host.facts import PROBES, host_facts, lacks_mem_dirty_track
from harness.model.machine import Condition

CONFIG = Path("/proc/config.gz")


def test_every_condition_has_a_probe() -> None:
    assert set(PROBES) == set(Condition)


@pytest.mark.parametrize("holds", [True, False])
def test_what_a_probe_finds_is_a_fact_of_the_machine(monkeypatch: pytest.MonkeyPatch, holds: bool) -> None:
    monkeypatch.setattr(facts, "PROBES", {Condition.LACKS_MEM_DIRTY_TRACK: lambda: holds})
    assert host_facts().conditions == ((Condition.LACKS_MEM_DIRTY_TRACK,) if holds else ())


# ---- memory changes tracking


def kernel(proc: Path, monkeypatch: pytest.MonkeyPatch, entry: int) -> Path:
    """A process's folder in /proc; the next page that the test writes has this entry."""
    page = mmap.mmap(-1, mmap.PAGESIZE)
    monkeypatch.setattr(mmap, "mmap", lambda *_, **__: page)
    (proc / "clear_refs").touch()
    with (proc / "pagemap").open("wb") as pagemap:
        pagemap.seek(ctypes.addressof(ctypes.c_char.from_buffer(page)) // mmap.PAGESIZE * 8)
        pagemap.write(entry.to_bytes(8, sys.byteorder))
    return proc


@pytest.mark.parametrize(("entry", "lacks"), [(1 << 63 | 1 << 55, False), (1 << 63, True), (1 << 54 | 1 << 56, True)])
def test_a_kernel_that_tracks_changes_marks_the_page_that_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: int, lacks: bool
) -> None:
    proc = kernel(tmp_path, monkeypatch, entry)
    assert lacks_mem_dirty_track(proc) is lacks
    assert (proc / "clear_refs").read_text(encoding="ascii") == "4"


@pytest.mark.parametrize("missing", ["clear_refs", "pagemap"])
def test_a_kernel_without_the_files_does_not_track_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    proc = kernel(tmp_path, monkeypatch, 1 << 55)
    (proc / missing).unlink()
    (proc / missing).symlink_to("not/there")
    assert lacks_mem_dirty_track(proc)


@pytest.mark.skipif(not CONFIG.exists(), reason="the kernel does not show its configuration")
def test_the_kernel_of_this_machine_is_as_it_was_configured() -> None:
    tracks = "CONFIG_MEM_SOFT_DIRTY=y" in gzip.decompress(CONFIG.read_bytes()).decode().splitlines()
    assert lacks_mem_dirty_track() is not tracks
