"""The commands that need root, typed as they stand on the pages, or in the smaller form that the page's source says."""

from __future__ import annotations

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


@pytest.mark.parametrize("page", sorted(BY_PAGE), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, tmp_path: Path, done: Done) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "share").mkdir()
    (tmp_path / "share/live.tar").write_bytes(plain("still-ledger"))
    for block in BY_PAGE[page]:
        desk.follow(block, done)
