"""What is wrong with a file is said in a sentence: where, which field, what it should be, what to do."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest
from pydantic import Field

from harness.model.cells import FreezePolicy
from harness.model.errors import WrongFile
from harness.model.invalid import fault, lines_of, read_toml, shown, wrong
from harness.model.values import Frozen


class Part(Frozen):
    name: str = Field(min_length=1, description="what it is called")
    size: int = Field(default=1, ge=1, le=9)
    on: bool = False
    since: dt.date | None = None
    policy: FreezePolicy = FreezePolicy.NONE


class Whole(Frozen):
    title: str = Field(pattern="^[a-z]+$")
    words: tuple[str, ...] = ()
    part: tuple[Part, ...] = ()
    here: Path = Path("/")


SOUND = 'title = "a"\n\n[[part]]\nname = "x"\n\n[[part]]\nname = "y"\n'


def told(tmp_path: Path, text: str) -> tuple[str, ...]:
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(WrongFile) as raised:
        read_toml(Whole, path)
    return tuple(each.removeprefix(f"{path}:") for each in raised.value.sentences)


def test_a_right_file_is_a_value(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(SOUND, encoding="utf-8")
    assert read_toml(Whole, tmp_path / "a.toml") == Whole(title="a", part=(Part(name="x"), Part(name="y")))


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (SOUND + "size = 0\n", ["8: part.size: must be at least 1, not 0."]),
        (SOUND + "size = 1.5\n", ["8: part.size: must be a whole number, not 1.5."]),
        (SOUND + "on = 3\n", ["8: part.on: must be true or false, not 3."]),
        (SOUND + 'since = "soon"\n', ["8: part.since: must be a date such as 2026-11-28, not 'soon'."]),
        (SOUND.replace('"x"', '""'), ["4: part.name: must not be empty. It is: what it is called."]),
        (SOUND.replace('"y"', "5"), ["7: part.name: must be text in quotes, not 5. It is: what it is called."]),
        (
            SOUND + "[[part]]\nsize = 10\n",
            ["8: part.name: is missing. Add it: what it is called.", "9: part.size: must be at most 9, not 10."],
        ),
        ('words = ["a", 2]\n' + SOUND, ["1: words[2]: must be text in quotes, not 2."]),
        (SOUND + "nmae = 1\n", ["8: part.nmae: is not a field here. Did you mean 'name'? Fields: name, size, on,"]),
        ('title = "a"\n[part]\nname = "x"\n', ["2: part: must be written in two brackets, as [[part]]."]),
        (SOUND + 'policy = "puase"\n', ["8: part.policy: must be one of 'none', 'engine', 'pause', "]),
        (SOUND.replace('"a"', '"A"'), ["1: title: must match the pattern ^[a-z]+$, not 'A'."]),
        ('title = "a"\nwords = [\n', ["2: not TOML: Invalid value. Correct this line."]),
        ('title = "a"\ntitle = "b"\n', ["2: not TOML: Cannot overwrite a value. Correct this line."]),
    ],
)  # fmt: skip
def test_each_thing_that_is_wrong_is_a_sentence_with_its_line(tmp_path: Path, text: str, sentences: list[str]) -> None:
    found = told(tmp_path, text)
    assert len(found) == len(sentences)
    for each, expected in zip(found, sentences, strict=True):
        assert each.startswith(expected)
        assert "pydantic" not in each


def test_the_nearest_word_is_named(tmp_path: Path) -> None:
    (sentence,) = told(tmp_path, SOUND + 'policy = "puase"\n')
    assert sentence.endswith("not 'puase'. Did you mean 'pause'?")


def test_a_long_value_is_cut(tmp_path: Path) -> None:
    (sentence,) = told(tmp_path, SOUND + f'size = "{"x" * 500}"\n')
    assert len(sentence) < 140


def test_a_validator_says_of_which_field_it_speaks() -> None:
    assert fault("is wrong", "part", 1, "name").context == {"what": "is wrong", "at": ("part", 1, "name")}


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongFile, match=r"gone\.toml cannot be read: No such file or directory\.$"):
        read_toml(Whole, tmp_path / "gone.toml")


def test_a_place_of_a_right_file_can_be_wrong_too(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(SOUND, encoding="utf-8")
    assert str(wrong(tmp_path / "a.toml", ("part", 1, "name"), "is taken.")).endswith("a.toml:7: part.name: is taken.")
    assert str(wrong(tmp_path / "a.toml", ("words", 0), "is odd.")).endswith("a.toml: words[1]: is odd.")


def test_paths_below_the_current_folder_are_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.toml") == "a/b.toml"
    assert shown(Path("/etc/b.toml")) == "/etc/b.toml"


def test_tables_and_fields_know_their_lines() -> None:
    assert lines_of('a = 1\n"b" = 2\n[c.d]\ne = 3\n[[f]]\n# g = 4\n[[f]]\nh-i = 5\n') == {
        ("a",): 1,
        ("b",): 2,
        ("c",): 3,
        ("c", "d"): 3,
        ("c", "d", "e"): 4,
        ("f",): 5,
        ("f", 0): 5,
        ("f", 1): 7,
        ("f", 1, "h-i"): 8,
    }


def test_what_is_no_file_of_that_kind_is_told_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    for make, why in (
        (lambda: os.mkfifo(path), "is not a regular file."),
        (lambda: path.symlink_to("/dev/zero"), "is not a regular file."),
        (path.mkdir, "is not a regular file."),
        (lambda: path.write_bytes(bytes((1 << 20) + 1)), "has more than 1 MiB, so it is something else."),
        (lambda: path.write_text("x = " + "[" * 5000, encoding="utf-8"), ": values are nested too deeply."),
        (lambda: None, " cannot be read: No such file or directory."),
    ):
        make()
        with pytest.raises(WrongFile) as raised:
            read_toml(Whole, path)
        assert raised.value.sentences[0].removeprefix(f"{path}").strip() == why.strip()
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
