"""The corpus: checkpoints are packed, read back, and declined if they have changed."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zstandard

from harness.checkpoints.needs import Form, Needs
from harness.checkpoints.untrusted import Unreadable
from harness.commands.cli import main
from harness.model.cells import Cell, Participant, Scenario, Settings, SurfaceKind
from harness.model.commands import Schedule
from harness.model.errors import EnvironmentUnfit, RecordError, UsageError
from harness.model.outcomes import Outcome, Verdict
from harness.records.record import Record
from harness.run import matrix
from harness.runtimes.contract import Container, ContainerSpec, Mount
from harness.trial import corpus
from harness.trial.corpus import CHECKPOINT, IMAGE, KEPT, Kept
from tests.folder_bench import CELL

SPEC = ContainerSpec("c", "i", ("/ledger",), "/f", "/f/report", "/report", (Mount(SurfaceKind.TMPFS, "/scratch"),))


def made(folder: Path) -> Path:
    (folder / "upper/data").mkdir(parents=True)
    (folder / "upper/data").chmod(0o750)
    (folder / "empty").mkdir()
    (folder / "upper/data/ring").write_bytes(b"x" * 5000)
    (folder / "upper/data/ring").chmod(0o600)
    (folder / "run.sh").write_text("#!")
    (folder / "run.sh").chmod(0o755)
    return folder


def tree(folder: Path) -> dict[str, tuple[str, bytes]]:
    return {
        str(path.relative_to(folder)): (
            stat.filemode(path.stat().st_mode),
            path.read_bytes() if path.is_file() else b"",
        )
        for path in folder.rglob("*")
    }


def kept(folder: Path, who: str = "runc@debian-sid", **changes: object) -> Kept:
    """A corpus with a checkpoint."""
    runtime, _, stack = who.partition("@")
    side = Participant(runtime=runtime, stack=stack)
    cell = CELL.model_copy(update={"checkpoint": side, "restore": side, "scenario": Scenario.KEEP})
    source = folder.parent / f"made-{who.replace('/', '_')}"
    content = made(source)
    needs = Needs(form=Form.IMAGES)
    record = Record(
        run="r1",
        cell=cell,
        trial=0,
        verdict=Verdict(outcome=Outcome.CONSISTENT, reason="fine"),
        start_ns=1,
        end_ns=2,
        schedule=Schedule(seed=1, planned_delay_us=1),
    )
    given = {
        "record": record,
        "settings": Settings(ring=8),
        "nonce": "c0ffee",
        "freeze_begin_ns": 7,
        "container": Container(SPEC, cgroup="/sys/fs/cgroup/c"),
        "needs": needs,
        "needs_digest": needs.digest,
        "image_digest": corpus.pack(content, folder / IMAGE),
        "checkpoint_digest": corpus.pack(content, corpus.place(folder, cell) / CHECKPOINT),
    }
    found = Kept.model_validate(given | changes)
    corpus.write(corpus.place(folder, cell), found)
    return found


def test_what_is_packed_is_laid_out_again_with_its_modes(tmp_path: Path) -> None:
    before = made(tmp_path / "a")
    digest = corpus.pack(before, tmp_path / "corpus/x/it.tar.zst")
    corpus.lay_out(tmp_path / "corpus/x/it.tar.zst", tmp_path / "b")
    assert tree(tmp_path / "b") == tree(before)
    os.utime(before / "run.sh", (1, 1))
    assert corpus.pack(before, tmp_path / "again.tar.zst") == digest, "the same content, whenever"
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("corpus/x", "corpus/x/it.tar.zst")]
    assert modes == [0o700, 0o600]
    assert [path.name for path in (tmp_path / "corpus/x").iterdir()] == ["it.tar.zst"]


def test_what_is_no_file_is_not_packed(tmp_path: Path) -> None:
    (made(tmp_path / "a") / "link").symlink_to("/etc/passwd")
    with pytest.raises(EnvironmentUnfit, match="link cannot be kept"):
        corpus.pack(tmp_path / "a", tmp_path / "it.tar.zst")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_in_place_of_a_folder_is_declined(tmp_path: Path) -> None:
    corpus.pack(made(tmp_path / "a"), tmp_path / "it.tar.zst")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/empty").write_text("in the way")
    with pytest.raises(Unreadable, match="'empty' cannot be unpacked"):
        corpus.lay_out(tmp_path / "it.tar.zst", tmp_path / "b")


def test_what_was_kept_is_found_and_offered_to_its_own_runtime(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    both = (kept(folder, "crun@debian-sid"), kept(folder, "runc@debian-1999"))
    assert corpus.read(folder) == both
    others = matrix.keepers(["debian-trixie", "debian-sid"], ["runc", "crun"])
    cells = list(corpus.cells(both, others))
    assert [cell.id for cell in cells] == [
        "kept:ledger.pause.runc@debian-1999~runc@debian-trixie",
        "kept:ledger.pause.crun@debian-sid~crun@debian-trixie",
        "kept:ledger.pause.runc@debian-1999~runc@debian-sid",
        "kept:ledger.pause.crun@debian-sid",
    ]
    assert both[0].container == Container(SPEC, cgroup="/sys/fs/cgroup/c")


def test_a_second_one_of_the_same_is_not_kept(tmp_path: Path) -> None:
    cell = kept(tmp_path / "corpus").cell
    with pytest.raises(UsageError, match="already holds a checkpoint of runc@debian-sid"):
        corpus.keep(tmp_path / "corpus", cell)
    other = Participant(runtime="crun", stack="debian-sid")
    free: Cell = cell.model_copy(update={"checkpoint": other})
    assert corpus.keep(tmp_path / "corpus", free).name == "crun@debian-sid"
    (corpus.place(tmp_path / "corpus", cell) / KEPT).unlink()
    assert corpus.keep(tmp_path / "corpus", cell).is_dir(), "that of a run that was killed does not count"


@pytest.mark.parametrize("name", [IMAGE, f"runc@debian-sid/{CHECKPOINT}"])
def test_what_is_not_what_was_kept_is_declined(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "corpus"
    kept(folder)
    (folder / name).write_bytes(zstandard.compress(b"something else"))
    with pytest.raises(RecordError, match="has changed since it was kept"):
        corpus.read(folder)
    (folder / name).write_bytes(b"no archive")
    with pytest.raises(RecordError, match="cannot be read"):
        corpus.read(folder)
    (folder / name).unlink()
    with pytest.raises(RecordError, match="cannot be read"):
        corpus.read(folder)


def test_a_corpus_is_of_one_kind(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    kept(folder)
    kept(folder, "crun@debian-sid", settings=Settings(ring=16))
    with pytest.raises(RecordError, match="different settings"):
        corpus.read(folder)
    (folder / "crun@debian-sid" / KEPT).write_text("{}")
    with pytest.raises(
        RecordError, match=r"crun@debian-sid/kept.json is not a valid kept checkpoint: record: is missing"
    ):
        corpus.read(folder)


@pytest.mark.parametrize("name", [f"runc@debian-sid/{KEPT}", IMAGE, f"runc@debian-sid/{CHECKPOINT}"])
def test_nothing_of_a_corpus_is_followed_waited_for_or_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / "corpus"
    kept(folder)
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RecordError, match=rf"{name} cannot be read: it is a pipe"):
        corpus.read(folder)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(content)
    with pytest.raises(RecordError, match=rf"{name} cannot be read: it is a symbolic link"):
        corpus.read(folder)
    path.unlink()
    path.write_bytes(content)
    monkeypatch.setattr(corpus, "MOST_KEPT", 1)
    with pytest.raises(RecordError, match="unpacks to more than 1 bytes"):
        corpus.read(folder)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("try", "{folder}/nowhere"), 2, "holds no kept checkpoint"),
        (
            ("keep", "{folder}/corpus", "--stack", "debian-sid", "--runtime", "runc"),
            2,
            "already holds a checkpoint of runc",
        ),
        (("keep", "{folder}/corpus", "--stack", "debian-sit"), 2, "debian-sid"),
        (("try", "{folder}/corpus", "--runtime", "podman/runc"), 2, "no cell"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, told: str
) -> None:
    kept(tmp_path / "corpus")
    assert main(["corpus", *(word.format(folder=tmp_path) for word in words)]) == code
    assert told in capsys.readouterr().err
