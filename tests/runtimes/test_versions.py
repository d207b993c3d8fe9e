"""Versions that a node tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runtimes.versions import of_system
from tests.folder_node import FolderNode


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("", None),
        ('PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n', None),
        (
            'NAME="Fedora Linux"\nID=fedora\nPRETTY_NAME="Fedora Linux 44 (Container Image)"\n',
            "Fedora Linux 44 (Container Image)",
        ),
        ("ID=arch\n", "arch"),
        ('ID="opensuse-tumbleweed"\n', "opensuse-tumbleweed"),
    ],
)
def test_a_system_that_is_not_debian_is_a_component(tmp_path: Path, said: str, version: str | None) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text(said, encoding="utf-8")
    assert [each.version for each in of_system(FolderNode(tmp_path))] == ([version] if version else [])
