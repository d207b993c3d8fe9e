"""The commands that need no root, typed as they stand on the pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.desk import Desk
from tests.docs.pages import ROOT, run_as

BY_PAGE = {page: [block for block in run_as("user") if block.page == page] for page in {b.page for b in run_as("user")}}


@pytest.mark.parametrize("page", sorted(BY_PAGE), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_do_what_it_says(page: Path, desk: Desk) -> None:
    for block in BY_PAGE[page]:
        desk.follow(block, {})


def test_a_command_that_ends_otherwise_than_the_page_says_is_noticed(desk: Desk) -> None:
    (block,) = (each for each in run_as("user") if " compare " in each.text)
    assert block.mark is not None
    assert block.mark.codes == (1,)
    with pytest.raises(pytest.fail.Exception, match=r"does not print \{'nothing is worse'\}"):
        desk.follow(block._replace(prints=("nothing is worse",)), {})
    with pytest.raises(pytest.fail.Exception, match="exit code 1\n"):
        desk.follow(block._replace(mark=block.mark._replace(codes=(0,))), {})
