"""Packages that programs are out of, as dpkg's own files have them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.stacks.packages import Packaged, packaged

STATUS = """\
Package: criu
Status: install ok installed
Version: 4.2-1

Package: half
Status: deinstall ok config-files

Package: runc
Architecture: amd64
Version: 1.3.6+ds1-1
"""


def program(root: Path, place: str, content: bytes) -> str:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)
    return hashlib.sha256(content).hexdigest()


def test_a_program_is_told_with_its_package_and_its_digest(tmp_path: Path) -> None:
    info = tmp_path / "var/lib/dpkg/info"
    info.mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").write_text(STATUS, encoding="utf-8")
    (info / "criu.list").write_text("/.\n/usr/sbin/criu\n", encoding="utf-8")
    (info / "runc:amd64.list").write_text("/sbin/runc\n/sbin/runc-other\n", encoding="utf-8")
    criu = program(tmp_path, "usr/sbin/criu", b"criu")
    runc = program(tmp_path, "usr/sbin/runc", b"runc")
    own = program(tmp_path, "usr/local/bin/crun", b"crun")
    (tmp_path / "usr/sbin/linked").symlink_to("/etc/passwd")
    (tmp_path / "usr/sbin/podman").symlink_to("/usr/local/bin/crun")
    found = list(packaged(tmp_path, ("criu", "runc", "crun", "linked", "podman", "absent")))
    assert found == [
        Packaged("criu", criu, "criu", "4.2-1"),
        Packaged("runc", runc, "runc", "1.3.6+ds1-1"),
        Packaged("crun", own),
        Packaged("podman", own),
    ]
    assert str(found[0]) == f"criu: package criu 4.2-1, sha256 {criu}"
    assert str(found[2]) == f"crun: in no package of Debian's, sha256 {own}"


def test_a_root_without_dpkg_has_digests_alone(tmp_path: Path) -> None:
    digest = program(tmp_path, "usr/bin/crun", b"crun")
    assert list(packaged(tmp_path, ("crun",))) == [Packaged("crun", digest)]
