from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.model.errors import UsageError
from harness.stacks import definition
from harness.stacks.definition import StackDefinition, available, load

SOUND = 'name = "mine"\ndescription = "A stack"\nsuite = "sid"\npackages = ["criu"]\n'


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(definition, "folder", lambda: tmp_path)
    return tmp_path


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
    "text",
    [
        "name = ",
        "\x00",
        "",
        'name = "mine"\ndescription = "neither"\n',
        SOUND + 'root = "/"\n',
        SOUND + "colour = 1\n",
        SOUND.replace('["criu"]', '"criu"'),
        SOUND.replace('"sid"', '"sid; reboot"'),
        SOUND.replace('"mine"', '"../mine"'),
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
def test_a_wrong_file_is_an_error_that_names_it(stacks: Path, text: str) -> None:
    path = stacks / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        load("mine")
    assert str(raised.value).startswith(f"{path} is not a valid stack definition: ")
    assert raised.value.exit_code == 2


def test_a_file_that_is_no_utf8_is_an_error_that_names_it(stacks: Path) -> None:
    (stacks / "mine.toml").write_bytes(SOUND.replace("A stack", "\xe4").encode("latin-1"))
    with pytest.raises(UsageError, match=r"mine\.toml is not a valid stack definition: "):
        load("mine")


def test_a_stack_is_called_like_its_file(stacks: Path) -> None:
    (stacks / "other.toml").write_text(SOUND, encoding="utf-8")
    with pytest.raises(UsageError, match=r"has the name 'mine'\. Write name = 'other'\."):
        load("other")


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
        {"suite": None, "root": Path("/")},
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
    with pytest.raises(ValidationError, match="must have either a suite or a root"):
        stack(**changes)
