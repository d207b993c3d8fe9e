"""Archives from Podman of a workload that prints, with their logs as exported and changed by hand."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from harness.checkpoints import layouts
from harness.checkpoints.untrusted import Unreadable
from harness.model.outcomes import Anomaly
from harness.oracle.inspection import inspect
from harness.records.inspection import Finding, InspectedProcess

FIXTURES = Path(__file__).parents[2] / "fixtures" / "checkpoints"
STILL, AHEAD = "printed-still", "printed-ahead"
"""Archives of Podman 6.1.1, which held the container still, and of Podman 5.4.2, while the container ran on."""
LOG = "ctr.log"

Change = Callable[[list[bytes]], list[bytes]]


def unpacked(name: str) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    data = zstandard.ZstdDecompressor().stream_reader((FIXTURES / f"{name}.tar.zst").read_bytes()).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {info.name: (info, file.read() if (file := tar.extractfile(info)) else b"") for info in tar}


def changed(folder: Path, name: str, log: Change | None, *, called: str = LOG) -> Path:
    """The archive with another log, under another name, or without one."""
    path = folder / "changed.tar"
    with tarfile.open(path, "w") as tar:
        for info, data in unpacked(name).values():
            content = data
            if info.name == LOG:
                if log is None:
                    continue
                info.name = called
                content = b"".join(log(data.splitlines(keepends=True)))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def process(path: Path) -> InspectedProcess:
    (checkpoint,) = inspect(path, {}).checkpoints
    (workload,) = checkpoint.workloads
    return workload


def same(lines: list[bytes]) -> list[bytes]:
    return lines


def test_a_log_is_a_surface_among_the_others() -> None:
    found = process(FIXTURES / f"{STILL}.tar.zst")
    assert (found.finding, found.anomalies, found.absent) == (Finding.CONSISTENT, (), {})
    added, stdout = found.reading.surfaces
    assert (stdout.surface, stdout.newest, stdout.newest_wall_ns) == ("stdout", found.reading.counter, None)
    assert (added.lag, stdout.lag > 1000) == (1, True)
    assert [(skew.surface, skew.ticks) for skew in found.skews] == [("added", 0), ("stdout", 0)]


def test_a_log_that_was_taken_while_the_container_ran_on_is_ahead() -> None:
    found = process(FIXTURES / f"{AHEAD}.tar.zst")
    assert found.finding is Finding.INCONSISTENT
    assert Anomaly.DISK_AHEAD in found.anomalies
    assert (found.skews[-1].surface, (found.skews[-1].ticks or 0) > 0) == ("stdout", True)


def docker(lines: list[bytes]) -> list[bytes]:
    texts = (line.split(b" ", 3)[3].decode() for line in lines)
    return [json.dumps({"log": text, "stream": "stdout", "time": "x"}).encode() + b"\n" for text in texts]


@pytest.mark.parametrize("called", layouts.LOGS)
@pytest.mark.parametrize("form", [same, docker, lambda lines: [line.split(b" ", 3)[3] for line in lines]])
def test_engines_have_other_names_and_forms_for_it(tmp_path: Path, called: str, form: Change) -> None:
    assert process(changed(tmp_path, STILL, form, called=called)) == process(FIXTURES / f"{STILL}.tar.zst")


@pytest.mark.parametrize(
    ("log", "anomalies"),
    [
        (lambda lines: lines[:-5], ()),
        (lambda lines: [*lines[:-1], lines[-1][:-9]], ()),
        (lambda lines: lines[70:], ()),
        (lambda _: [], ()),
        (lambda lines: [*lines[:50], *lines[51:]], (Anomaly.RECORD_LOST,)),
        (lambda lines: [*lines[:50], *lines[40:]], (Anomaly.RECORD_REPEATED,)),
        (lambda lines: [*lines, lines[-1]], (Anomaly.RECORD_REPEATED,)),
        (lambda lines: [*lines[:50], lines[50].replace(b" 51 ", b" 52 "), *lines[51:]], None),
        (lambda lines: [b"2026-11-28T22:49:00.1Z stderr F " + b"x\n", *lines], ()),
    ],
    ids=["behind", "cut off", "rotated", "empty", "hole", "repeated", "twice", "torn", "others"],
)
def test_what_is_wrong_with_a_log_is_found_by_its_name(
    tmp_path: Path, log: Change, anomalies: tuple[Anomaly, ...] | None
) -> None:
    found = process(changed(tmp_path, STILL, log))
    assert found.anomalies == ((Anomaly.TORN, Anomaly.RECORD_LOST) if anomalies is None else anomalies)


def test_without_a_log_standard_output_is_not_in_the_checkpoint(tmp_path: Path) -> None:
    found = process(changed(tmp_path, STILL, None))
    assert found.finding is Finding.INCOMPLETE
    assert found.absent == {"stdout": "the checkpoint does not contain the engine's log"}
    assert [each.surface for each in found.reading.surfaces] == ["added"]


def test_a_log_that_is_no_file_is_not_in_the_checkpoint_either(tmp_path: Path) -> None:
    path = changed(tmp_path, STILL, None)
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo(LOG)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert process(path).absent == {"stdout": "the checkpoint does not contain the engine's log"}


def test_an_archive_that_is_cut_off_in_its_log_is_not_read(tmp_path: Path) -> None:
    path = changed(tmp_path, STILL, lambda lines: lines * 1000)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"stillframe ") + 100_000])
    with pytest.raises(Unreadable, match=r"in or after 'ctr\.log'"):
        inspect(path, {})
