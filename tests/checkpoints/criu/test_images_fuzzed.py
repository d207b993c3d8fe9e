"""CRIU's images with random bytes: processes and mounts are read, or the images are declined."""

from __future__ import annotations

import contextlib
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.checkpoints.criu.image import CORE, DESCRIPTORS, FILES, IDS, INVENTORY, LOCKS, MOUNTS, PROCESSES, read
from harness.checkpoints.criu.image import Kind as ImageKind
from harness.checkpoints.criu.mounts import Mounts
from harness.checkpoints.criu.tasks import tasks
from harness.checkpoints.untrusted import Budget, Unreadable
from tests.criu_images import message
from tests.oracle.inspection.test_inspection_fuzzed import EXAMPLES
from tests.real_images import PROCESSES as ARCHIVES
from tests.real_images import STILL, unpacked

READ = {
    STILL: ("pstree", "inventory", "core-1", "ids-1", "fdinfo-2", "files", "mountpoints-13"),
    ARCHIVES[0]: ("pstree", "inventory", "core-19", "ids-1", "fdinfo-5", "files", "filelocks", "mountpoints-10"),
}
"""Images that the code reads, by checkpoint."""
KINDS: dict[str, ImageKind] = {
    "pstree": PROCESSES, "inventory": INVENTORY, "core": CORE, "ids": IDS, "fdinfo": DESCRIPTORS, "files": FILES,
    "filelocks": LOCKS, "mountpoints": MOUNTS,
}  # fmt: skip
PATHS = ("/", "/data/in/x", "/dev/shm/x", "/dev/null", "/proc/keys")


@cache
def images(name: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in unpacked(name, Path(folder)).iterdir()}


def examine(checkpoint: str, changed: dict[str, bytes]) -> None:
    """Read everything from a checkpoint, with these images changed."""
    with tempfile.TemporaryDirectory() as folder:
        for name, data in (images(checkpoint) | changed).items():
            Path(folder, name).write_bytes(data)
        with contextlib.suppress(Unreadable):
            for task in tasks(Path(folder), small()):
                assert task.threads > 0
                assert len(task.name) <= 15
        for path in Path(folder).glob("mountpoints-*.img"):
            with contextlib.suppress(Unreadable):
                mounts = Mounts.of_namespace(Path(folder), int(path.stem.rpartition("-")[2]), small())
                for each in PATHS:
                    with contextlib.suppress(Unreadable):
                        mount, relative = mounts.resolve(each)
                        assert f"{mount.mountpoint.rstrip('/')}/{relative}".rstrip("/") == each.rstrip("/")


def small() -> Budget:
    return Budget(read=4 << 20, kept=0, parts=2000, seconds=30)


@st.composite
def places(draw: st.DrawFn) -> tuple[str, str]:
    """A checkpoint, and one of its images that the code reads."""
    checkpoint = draw(st.sampled_from(sorted(READ)))
    return checkpoint, draw(st.sampled_from(READ[checkpoint]))


@EXAMPLES
@given(place=places(), data=st.data())
def test_spoiled_images_are_read_or_declined(place: tuple[str, str], data: st.DataObject) -> None:
    checkpoint, image = place
    spoiled = bytearray(images(checkpoint)[f"{image}.img"])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled)))
        length = data.draw(st.sampled_from([0, 1, 4, 64]))
        spoiled[at : at + length] = data.draw(st.binary(max_size=8) | st.just(b"\xff" * 10))
    examine(checkpoint, {f"{image}.img": bytes(spoiled)})


@EXAMPLES
@given(
    place=places(),
    entries=st.lists(
        st.dictionaries(st.integers(1, 20), st.integers(0, 3) | st.integers(0, (1 << 64) - 1), max_size=6).map(message)
        | st.binary(max_size=12),
        max_size=6,
    ),
)
def test_images_of_any_messages_are_read_or_declined(place: tuple[str, str], entries: list[bytes]) -> None:
    checkpoint, image = place
    kind = KINDS[image.partition("-")[0]]
    examine(checkpoint, {f"{image}.img": kind.magic + b"".join(entries)})


@EXAMPLES
@given(
    table=st.lists(
        st.fixed_dictionaries(
            {
                "mnt_id": st.integers(1, 6),
                "parent_mnt_id": st.integers(0, 6),
                "mountpoint": st.sampled_from(["/", "", "/data", "/data/in", "/dev", "/../x"]),
            }
        ),
        max_size=7,
    )
)
def test_mounts_in_any_order_lead_somewhere_or_are_declined(table: list[dict[str, object]]) -> None:
    bodies = (MOUNTS.messages[0](**entry).SerializeToString() for entry in table)
    data = MOUNTS.magic + b"".join(len(body).to_bytes(4, "little") + body for body in bodies)
    examine(STILL, {"mountpoints-13.img": data})


def test_what_is_spoiled_can_be_read_unspoiled(tmp_path: Path) -> None:
    for checkpoint, names in READ.items():
        for name in names:
            path = unpacked(checkpoint, tmp_path / checkpoint) / f"{name}.img"
            assert list(read(path, KINDS[name.partition("-")[0]], small()))
        assert tasks(tmp_path / checkpoint / "checkpoint", small())
