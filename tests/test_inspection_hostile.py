"""Checkpoints whose parts do not fit together, made by somebody who wants the reading to fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoints.untrusted import Unreadable
from harness.inspection import inspect
from tests.criu_images import PAGE, dump, memory


def test_a_counter_of_no_process_is_declined(tmp_path: Path) -> None:
    images = dump(tmp_path / "images", bytes(PAGE))
    (images / "pagemap-7777777777.img").write_bytes((dump(tmp_path / "other", memory()) / "pagemap-1.img").read_bytes())
    (images / "pages-1.img").write_bytes(memory())
    with pytest.raises(Unreadable, match=r"pagemap-7777777777\.img is of no process of pstree\.img"):
        inspect(images, {})
