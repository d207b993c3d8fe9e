from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.folder_node import FolderNode


@pytest.fixture
def node() -> Iterator[FolderNode]:
    """A node with a short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp())
    yield FolderNode(folder)
    shutil.rmtree(folder)
