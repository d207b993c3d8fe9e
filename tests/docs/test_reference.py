"""The generated parts of the reference are what the code renders."""

from __future__ import annotations

import argparse
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import Field

from harness.commands.declarations.command import Command
from harness.model.values import Frozen
from harness.reference import pages as reference
from harness.reference.pages import FOLDER, MARKED, generated, main, texts
from harness.reference.shapes import bullets, command_sections, schema_fields, table


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.md")), ids=lambda path: path.name)
def test_a_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == texts()[path], "write it anew with: ci/generate"


def test_every_generated_part_is_on_one_page() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md"))
    found = [name for _, name, _ in MARKED.findall(text)]
    assert sorted(found) == sorted(generated())
    assert text.count("<!-- generated: ") == len(found), "each begin has its end"


def test_main_writes_the_parts_anew_and_leaves_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("# By hand\n\n<!-- generated: exit-codes -->\nold\n<!-- end: exit-codes -->\n\nby hand\n")
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    main()
    text = page.read_text()
    assert text.startswith("# By hand\n\n<!-- generated: exit-codes -->\n\n| code | meaning |\n")
    assert text.endswith("|\n\n<!-- end: exit-codes -->\n\nby hand\n")
    assert "old" not in text


def test_an_unknown_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "page.md").write_text("<!-- generated: weather -->\n<!-- end: weather -->\n")
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    with pytest.raises(KeyError, match="weather"):
        texts()


def test_tables_and_lists_hold_any_text() -> None:
    assert table(("a", "b"), [("1", "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"
    told = bullets([("`one`", "word " * 40), ("`two`", "")]).splitlines()
    assert max(map(len, told)) <= 120
    assert [line for line in told if line.startswith("- ")] == [told[0], "- `two`"]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Frozen):
    """A part."""

    n: int


class Outer(Frozen):
    """All of it."""

    colour: Colour
    parts: tuple[Inner, ...] = Field(description="in order")
    by_name: dict[str, Inner] = Field(default_factory=dict)
    note: str | None = None


def test_fields_of_a_schema_are_told_with_their_types() -> None:
    text = schema_fields({"Outer": Outer.model_json_schema()})
    assert text == (
        "## Outer\n\nAll of it.\n\n- `colour` (`red`, `blue`)\n- `parts` (list of [Inner](#inner)): in order\n"
        "- `by_name` ([Inner](#inner) by name, optional)\n- `note` (text or null, optional)\n\n"
        "### Inner\n\nA part.\n\n- `n` (number)"
    )


def test_commands_are_listed_as_argparse_knows_them() -> None:
    arguments = (
        ("path", {"nargs": "+", "metavar": "PATH", "help": "what to read"}),
        ("-n --size", {"type": int, "default": 3, "metavar": "N", "help": "of it, 5 %% (default %(default)s)"}),
        ("--secret", {"help": argparse.SUPPRESS}),
        ("--where", {"choices": ["here", "there"], "default": "here", "help": "in /tmp/cache"}),
    )
    one = Command("one", "does one thing", arguments=arguments)
    assert command_sections([one], {"/tmp/cache": "~/cache"}) == (
        "## stillframe one\n\nDoes one thing.\n\nUsage: `stillframe one PATH [PATH ...] [options]`\n\n"
        "- `PATH`: what to read\n- `-n N, --size N`: of it, 5 % (default 3)\n- `--where {here,there}`: in ~/cache"
    )


def test_tasks_of_a_command_have_sections_of_their_own() -> None:
    text = command_sections([Command("keep", "keeps", tasks=(Command("keep add", "adds"),))], {})
    start = "## stillframe keep\n\nKeeps.\n\nUsage: `stillframe keep TASK ...`\n\n### stillframe keep add\n\nAdds.\n"
    assert text.startswith(start)
