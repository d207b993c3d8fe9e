"""The commands that need root, typed as they stand on the pages, or in the smaller form that the page's source says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.desk import Desk, Done
from tests.docs.pages import ROOT, run_as
from tests.real_checkpoints import plain

BY_PAGE = {page: [block for block in run_as("root") if block.page == page] for page in {b.page for b in run_as("root")}}


@pytest.fixture(scope="session")
def done() -> Done:
    """Lines that were typed on earlier pages; many pages begin with the same ones, which are executed once."""
    return {}


@pytest.fixture(scope="session")
def outside() -> Iterator[Path]:
    """A folder outside the cache, which is not shared, and in which tests have theirs; it stays as long as `done`."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        yield Path(made)


@pytest.fixture
def folder(outside: Path) -> Path:
    """Where the commands of one page are typed; it stays, since later pages copy what was made in it."""
    return Path(tempfile.mkdtemp(dir=outside))


@pytest.mark.parametrize("page", sorted(BY_PAGE), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, folder: Path, done: Done) -> None:
    desk = Desk(folder)
    (folder / "share").mkdir()
    (folder / "share/live.tar").write_bytes(plain("still-ledger"))
    for block in BY_PAGE[page]:
        desk.follow(block, done)
