"""Definitions of applications, of the project and of a user's own folder, and what their images have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from harness.model.errors import EnvironmentUnfit, UsageError
from harness.run import prepare
from harness.stacks.definition import ImageDefinition
from harness.workload import definitions, image
from harness.workload.definitions import Form, Suite, available, find, given_as, load, name_of
from tests.docs.pages import ROOT

WHOLE = 'name = "mine"\ndescription = "An application"\n\n[application]\nsuite = "trixie"\n'


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, outside the project."""
    monkeypatch.setattr(definitions, "_BROUGHT", {})
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "workload.toml").write_text(WHOLE)
    for name in definitions.PROGRAMS:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return folder


def test_a_folder_becomes_a_workload_with_two_sentinels_around_its_application(own: Path) -> None:
    assert name_of(str(own)) == "mine"
    mine = find("mine")
    assert [(each.name, each.form) for each in mine.surfaces] == [
        *(("first", Form.SENTINEL), ("application", Form.APPLICATION), ("last", Form.SENTINEL))
    ]
    assert mine.argv("/ledger", "/report", period_us=0, ring=4)[-6:] == (
        *("--sentinel", "first=/data/0-first"),
        *("--application", "application=/application"),
        *("--sentinel", "last=/data/z-last"),
    )
    assert (mine.moving, mine.suite, mine.criu, mine.program) == (True, Suite.DEFAULT, (), "ledger")
    assert any(mine.program_folder.glob("*.c"))
    assert (given_as("mine"), given_as("ledger")) == (str(own), "ledger")
    assert name_of(given_as("mine")) == "mine"
    assert available()["mine"] == own


def test_the_folder_one_stands_in_can_be_named(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own)
    assert name_of(".") == "mine"
    assert name_of("./") == "mine"


def test_what_is_no_workload_is_told(own: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown workload 'mine'"):
        name_of("mine")
    with pytest.raises(UsageError, match=r"/no/such is no folder\. Name a workload, or the folder with its workload"):
        name_of("/no/such")
    with pytest.raises(UsageError, match=r"workload.toml"):
        name_of(str(own.parent))


def test_a_name_that_the_project_has_is_declined(own: Path) -> None:
    taken = own.rename(own.parent / "valkey")
    (taken / "workload.toml").write_text(WHOLE.replace("mine", "valkey"))
    with pytest.raises(UsageError, match=r"a workload called 'valkey' is already defined in .*Choose another name"):
        name_of(str(taken))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('suite = "trixie"', "", r"application: needs a suite, a root or an archive"),
        ('suite = "trixie"', 'suite = "trixie"\nroot = "x"', r"can be a suite, a root or an archive, not suite and"),
        ('suite = "trixie"', 'archive = "none.tar"', r":5: application.archive: .*/none.tar does not exist"),
        ('suite = "trixie"', 'root = "none"', r":5: application.root: .*/none is no folder"),
        ('suite = "trixie"', 'suite = "trixie"\ncriu = ["a b"]', r"application\.criu\S*: must match the pattern"),
        ('suite = "trixie"', 'suite = "trixie"\ncriu = ["x\\ny"]', r"application\.criu\S*: must match the pattern"),
        ('suite = "trixie"', 'suite = "trixie"\ndrive = "x"', r"application.drive: "),
        ("[application]\n", 'surfaces = []\n[application]\n', r"surfaces: has no surface"),
        ('"mine"', '"other"', r"name: must be 'mine' like the folder, not 'other'"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_told_with_its_place(own: Path, old: str, new: str, says: str) -> None:
    (own / "workload.toml").write_text(WHOLE.replace(old, new))
    with pytest.raises(UsageError, match=says):
        name_of(str(own))


def test_a_root_file_system_of_an_application_needs_no_usr(own: Path) -> None:
    (own / "root").mkdir()
    (own / "workload.toml").write_text(WHOLE.replace('suite = "trixie"', 'root = "root"'))
    found = load(own).application
    assert found is not None
    assert found.root == own / "root"


@pytest.mark.parametrize("name", definitions.PROGRAMS)
def test_both_programs_have_to_be_there_and_executable(own: Path, name: str) -> None:
    (own / name).chmod(0o644)
    with pytest.raises(UsageError, match=f"/{name} is not executable. Make it so: chmod"):
        name_of(str(own))
    (own / name).unlink()
    with pytest.raises(UsageError, match=f"the workload mine has no program {name} in "):
        name_of(str(own))


def test_an_image_has_the_root_the_programs_beside_the_definition_and_the_ledger(own: Path, tmp_path: Path) -> None:
    root, binary = tmp_path / "root", tmp_path / "ledger"
    (root / "usr").mkdir(parents=True)
    (root / "bin").symlink_to("usr")
    binary.write_text("binary")
    (own / "more").mkdir()
    (own / "more/file").write_text("of the application")
    name_of(str(own))
    image.lay_out_application(tmp_path / "image", root, {"ledger": binary}, find("mine"))
    found = {str(path.relative_to(tmp_path / "image")) for path in (tmp_path / "image").rglob("*")}
    assert found > {
        "ledger",
        "application/drive",
        "application/verify",
        "application/more/file",
        "data",
        "report",
        "bin",
    }
    assert "application/workload.toml" not in found
    assert (tmp_path / "image/bin").is_symlink()
    assert (tmp_path / "image/application/drive").stat().st_mode & 0o111


def test_what_is_no_file_beside_the_definition_is_told(own: Path, tmp_path: Path) -> None:
    os.mkfifo(own / "pipe")
    name_of(str(own))
    with pytest.raises(
        EnvironmentUnfit, match=r"the image of the workload mine cannot be made: .*pipe.* is a named pipe"
    ):
        image.lay_out_application(tmp_path / "image", None, {"ledger": own / "drive"}, find("mine"))


def test_the_projects_applications_are_in_the_full_suite_and_their_links_lead_to_each_other() -> None:
    ours = [find(name) for name in available() if find(name).application]
    assert {each.name for each in ours} == {
        *("inotify", "journal", "loopback", "postgresql", "sqlite-rollback", "sqlite-wal", "valkey"),
        *(name for name in available() if name.startswith("state-")),
    }
    for each in ours:
        assert each.suite is Suite.FULL
        assert all(path.resolve().is_relative_to(ROOT / "workloads") for path in each.folder.iterdir())


def test_what_an_application_says_of_its_image_makes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ImageDefinition] = []

    def built(what: ImageDefinition, *_: object) -> Path:
        made.append(what)
        return Path("/")

    monkeypatch.setattr(prepare, "_built", built)
    options: Any = None  # of building alone
    needed = {name: own for name in available() if (own := find(name).application) and own.needed}
    for name in needed:
        assert prepare.image_of(name, options, lambda *_: None) == Path("/")
    assert [(each.suite, each.packages) for each in made] == [(own.suite, own.packages) for own in needed.values()]
    assert "valkey" in needed
