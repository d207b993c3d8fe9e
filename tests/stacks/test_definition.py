from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.errors import UsageError, WrongFile
from harness.stacks import definition
from harness.stacks.definition import StackDefinition, available, load

SOUND = 'name = "mine"\ndescription = "A stack"\nsuite = "sid"\npackages = ["criu"]\n'


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(definition, "folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def own(tmp_path: Path, stacks: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of the user's own, beside a root file system."""
    monkeypatch.setattr(definition, "_BROUGHT", {})
    (tmp_path / "own" / "root" / "usr").mkdir(parents=True)
    path = tmp_path / "own" / "brought.toml"
    path.write_text('name = "brought"\ndescription = "A stack"\nroot = "root"\n', encoding="utf-8")
    return path


def test_a_root_that_is_no_root_of_a_file_system_is_told(own: Path) -> None:
    shutil.rmtree(own.parent / "root/usr")
    with pytest.raises(
        WrongFile, match=r"brought\.toml:3: root: .*/root has no folder usr\. Give the root of a file sys"
    ):
        definition.name_of(str(own))
    (own.parent / "root").rmdir()
    with pytest.raises(WrongFile, match=r"brought\.toml:3: root: .*/root is no folder\.$"):
        definition.name_of(str(own))


def test_a_path_that_is_no_file_of_a_stack_is_told() -> None:
    with pytest.raises(UsageError, match=r"^/some/root is no stack\. Name a stack, or its file"):
        definition.name_of("/some/root")


def stack(**changes: Any) -> StackDefinition:
    return StackDefinition(**{"name": "mine", "description": "A stack", "suite": "sid", **changes})


@pytest.mark.parametrize("name", available())
def test_a_stack_of_ours_can_be_loaded(name: str) -> None:
    assert load(name).name == name


def test_a_stack_is_what_its_file_says(stacks: Path) -> None:
    (stacks / "mine.toml").write_text(SOUND, encoding="utf-8")
    assert available() == ["mine"]
    assert load("mine") == stack(packages=("criu",))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name = ", ":1: not TOML: Invalid value. Correct this line."),
        ("\x00", ":1: not TOML: Invalid statement. Correct this line."),
        ("", ": name: is missing. Add it."),
        (
            'name = "mine"\ndescription = "neither"\n',
            ": needs a suite, a root or an archive. Name a Debian suite, a root file system or an image.",
        ),
        (
            SOUND + 'root = "/"\n',
            ":5: root: can be a suite, a root or an archive, not suite and root. Remove one.",
        ),
        (SOUND + "siute = 1\n", ":5: siute: is not a field here. Did you mean 'suite'? Fields: suite, also,"),
        (SOUND.replace('["criu"]', '"criu"'), ":4: packages: must be a list in brackets, not 'criu'."),
        (
            SOUND.replace('"sid"', '"sid; reboot"'),
            ":3: suite: must match the pattern ^[a-z0-9-]+$, not 'sid; reboot'. It is: Debian suite",
        ),
        (
            SOUND.replace('"mine"', '"../mine"'),
            ":1: name: must match the pattern ^[a-z0-9][a-z0-9.-]*$, not '../mine'.",
        ),
    ],
    ids=[
        "no TOML",
        "no text",
        "nothing",
        "no source",
        "two sources",
        "unknown key",
        "no list",
        "odd suite",
        "odd name",
    ],
)
def test_a_wrong_file_is_told_with_line_field_and_remedy(stacks: Path, text: str, told: str) -> None:
    path = stacks / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongFile) as raised:
        load("mine")
    assert raised.value.sentences[0].startswith(f"{path}{told}")
    assert raised.value.exit_code == 2


def test_a_file_that_is_no_utf8_is_an_error_that_names_it(stacks: Path) -> None:
    (stacks / "mine.toml").write_bytes(SOUND.replace("A stack", "\xe4").encode("latin-1"))
    with pytest.raises(WrongFile, match=r"mine\.toml: byte [0-9]+ is not UTF-8\. Save the file as UTF-8\.$"):
        load("mine")


def test_a_stack_is_called_like_its_file(stacks: Path) -> None:
    (stacks / "other.toml").write_text(SOUND, encoding="utf-8")
    with pytest.raises(
        UsageError, match=r"other\.toml:1: name: must be 'other' like the file, not 'mine'\. Rename one of them\.$"
    ):
        load("other")


def test_a_file_brings_a_stack_whose_root_lies_beside_it(
    own: Path, stacks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stacks / "mine.toml").write_text(SOUND, encoding="utf-8")
    monkeypatch.chdir(own.parent.parent)
    assert definition.name_of("own/brought.toml") == "brought"
    assert available() == ["brought", "mine"]
    assert load("brought").root == own.parent / "root"
    assert definition.given_as("brought") == str(own)
    assert definition.name_of(definition.given_as("brought")) == "brought"


def test_what_is_no_file_is_the_name_of_a_stack(own: Path) -> None:
    assert definition.name_of("mine") == definition.given_as("mine") == "mine"


def test_a_stack_of_ours_keeps_its_name(own: Path, stacks: Path) -> None:
    (stacks / "brought.toml").write_text(SOUND.replace("mine", "brought"), encoding="utf-8")
    with pytest.raises(UsageError, match=r"brought\.toml: a stack called 'brought' is already defined in .*stack"):
        definition.name_of(str(own))
    assert definition.name_of(str(stacks / "brought.toml")) == "brought"
    assert load("brought").suite == "sid"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"gone\.toml cannot be read: No such file or directory\.$"),
        ("name = 1\n", r"gone\.toml:1: name: must be text in quotes, not 1\."),
        (SOUND, r"gone\.toml:1: name: must be 'gone' like the file, not 'mine'"),
    ],
    ids=["no file", "no stack", "another name"],
)
def test_a_wrong_file_brings_nothing(own: Path, content: str | None, told: str) -> None:
    path = own.with_name("gone.toml")
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(WrongFile, match=told):
        definition.name_of(str(path))
    assert available() == []


def test_an_unknown_stack_is_answered_with_the_nearest_name(stacks: Path) -> None:
    (stacks / "mine.toml").write_text(SOUND, encoding="utf-8")
    with pytest.raises(UsageError, match=r"^unknown stack 'mime'\. Valid: mine\. Did you mean 'mine'\?$"):
        load("mime")


@pytest.mark.parametrize(
    "changes",
    [
        {"packages": ("criu", "runc")},
        {"suite": "trixie"},
        {"also": ("experimental",)},
        {"suite": None, "root": Path("/"), "packages": ()},
    ],
)
def test_a_changed_definition_is_another_stack_in_the_cache(changes: dict[str, Any]) -> None:
    before, after = stack(packages=("criu",)), stack(**{"packages": ("criu",), **changes})
    assert after.key != before.key
    assert before.key == stack(packages=("criu",)).key
    assert before.key.isalnum()


@pytest.mark.parametrize(
    "changes", [{"runtimes": ("runc", "crun")}, {"name": "other"}, {"description": "Another description"}]
)
def test_what_changes_nothing_in_it_is_the_same_stack_in_the_cache(changes: dict[str, Any]) -> None:
    assert stack(**changes).key == stack().key


def test_a_stack_says_what_of_it_takes_part(stacks: Path) -> None:
    (stacks / "mine.toml").write_text(SOUND + 'runtimes = ["runc", "podman/crun"]\n', encoding="utf-8")
    assert load("mine").runtimes == ("runc", "podman/crun")
    (stacks / "mine.toml").write_text(SOUND, encoding="utf-8")
    assert load("mine").runtimes == ()


@pytest.mark.parametrize("changes", [{"suite": None}, {"root": Path("/")}])
def test_a_stack_has_one_source(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="a suite, a root or an archive"):
        stack(**changes)


def test_a_folder_of_the_users_own_has_more_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text(SOUND, encoding="utf-8")
    monkeypatch.setenv(definition.VARIABLE, str(tmp_path))
    assert "mine" in available()
    assert load("mine").suite == "sid"
    (tmp_path / "debian-sid.toml").write_text(SOUND.replace("mine", "debian-sid"), encoding="utf-8")
    with pytest.raises(UsageError, match="a stack called 'debian-sid' is already defined in"):
        available()
    monkeypatch.setenv(definition.VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"\$STILLFRAME_STACKS names .*gone, which is no folder"):
        available()


def layout_with_a_pipe(path: Path) -> None:
    path.mkdir()
    os.mkfifo(path / "index.json")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (Path.mkdir, "has no index.json"),
        (lambda _: None, "does not exist"),
        (os.mkfifo, "it is a pipe, not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a character device, not a regular file"),
        (layout_with_a_pipe, "it is a pipe, not a regular file"),
    ],
)
def test_an_archive_that_is_none_is_told(stacks: Path, make: Callable[[Path], None], told: str) -> None:
    make(stacks / "image")
    (stacks / "mine.toml").write_text('name = "mine"\ndescription = "A"\narchive = "image"\n', encoding="utf-8")
    with pytest.raises(WrongFile, match=rf"mine\.toml:3: archive: .*{told}"):
        load("mine")
