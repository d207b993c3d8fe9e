"""Archives with random changes: each gives a result or a reason, and nothing else is written."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.checkpoints.translation.bridges import OldCriu, Runtime
from harness.checkpoints.translation.translate import Order, translate
from harness.model.errors import StillframeError
from tests.checkpoints.translation.exports import PULLABLE, opened, packed, podman
from tests.oracle.inspection.test_inspection_fuzzed import EXAMPLES, nothing_else_is_written, read, small

SPOILT = ("", "null", "[]", "{}", "1", '"x"', '{"mounts": [1]}', '{"annotations": []}', '{"process": 1}')
FIELDS = ('{"mounts": [{"destination": 1}]}', '{"runtime": [], "rootfsImageID": {}}', '{"annotations": {"a": 1}}')


@cache
def valid() -> tuple[dict[str, bytes], ...]:
    """The parts of an archive in each form."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        made = [podman(at / "in")]
        for form in ("crio", "containerd"):
            translate(made[0], at / form, Order(form, image=PULLABLE))
            made.append(at / form)
        return tuple(opened(path, at / f"{path.name}.opened") for path in made)


@st.composite
def spoiled(draw: st.DrawFn) -> dict[str, bytes]:
    """An archive with some parts changed, replaced or left out."""
    parts = dict(draw(st.sampled_from(valid())))
    for name in draw(st.lists(st.sampled_from(sorted(parts)), min_size=1, max_size=3, unique=True)):
        data = bytearray(parts.pop(name))
        match draw(st.sampled_from(("changed", "replaced", "gone"))):
            case "changed":
                at = draw(st.integers(0, len(data)))
                data[at : at + draw(st.sampled_from((0, 1, 4)))] = draw(st.binary(max_size=4))
                parts[name] = bytes(data)
            case "replaced":
                parts[name] = draw(st.sampled_from((*SPOILT, *FIELDS))).encode()
    return parts


@EXAMPLES
@given(
    parts=spoiled(),
    to=st.sampled_from(("", "crio", "containerd", "podman")),
    runtime=st.sampled_from(Runtime),
    itself=st.booleans(),
)
def test_parts_of_any_kind_are_translated_or_declined(
    tmp_path: Path, parts: dict[str, bytes], to: str, runtime: Runtime, *, itself: bool
) -> None:
    source, out = packed(tmp_path / "it", parts), tmp_path / "out"
    order = Order(to, runtime, OldCriu.V4_1, source if itself else None, PULLABLE)
    read(source, tmp_path)
    with nothing_else_is_written(tmp_path):
        try:
            translate(source, out, order, budget=small())
        except StillframeError:
            declined = True
        else:
            declined = False
        assert out.exists() is not declined
        out.unlink(missing_ok=True)
