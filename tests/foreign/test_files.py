"""Paths in a root that is not the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.foreign.files import in_root
from harness.host import init


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("usr/bin", "var/log", "home"):
        (tmp_path / folder).mkdir(parents=True)
    for link, target in {
        "bin": "usr/bin",
        "sbin": "/usr/bin",
        "var/run": "/run",
        "up": "../../../../etc",
        "home/me": "../../../../../etc/passwd",
        "usr/bin/all": "/",
        "one": "two",
        "two": "one",
    }.items():
        (tmp_path / link).symlink_to(target)
    return tmp_path


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("/", ""),
        ("", ""),
        ("/usr/bin/runc", "usr/bin/runc"),
        ("/bin/runc", "usr/bin/runc"),
        ("sbin/runc", "usr/bin/runc"),
        ("/var/run/docker.sock", "run/docker.sock"),
        ("/up/passwd", "etc/passwd"),
        ("/home/me", "etc/passwd"),
        ("/home/../../../etc", "etc"),
        ("/usr/bin/all/usr/./bin//all/bin", "usr/bin"),
        ("/nowhere/../home", "home"),
    ],
)
def test_no_link_leads_out_of_a_root(root: Path, inside: str, found: str) -> None:
    assert in_root(root, inside) == root / found


def test_a_loop_of_links_ends(root: Path) -> None:
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        in_root(root, "/one/file")


def test_what_a_node_mounts_on_is_made_in_its_own_root(root: Path) -> None:
    (root / "srv").symlink_to("/var/srv")
    assert init._made(str(root), "/srv/stillframe") == str(root / "var/srv/stillframe")
    assert (root / "var/srv/stillframe").is_dir()
    assert init._made(str(root), "/sbin") == str(root / "usr/bin")
