"""The adapter against engines that answer as the real ones did."""

from __future__ import annotations

import pytest

from tests.cri.recorded import RECORDINGS, playing
from tests.cri.scenes import SCENES
from tests.folder_node import FolderNode

PLAYED = [(each, scene) for each, said in RECORDINGS.items() for scene in said["scenes"]]


@pytest.mark.parametrize(("recording", "scene"), PLAYED)
def test_the_adapter_has_the_conversation_that_the_real_engine_had(
    node: FolderNode, recording: str, scene: str
) -> None:
    node.answer("sha256sum", stdout="0f9342034ff6  layer.tar\n")
    with playing(node, recording, scene) as cri:
        said = SCENES[scene.removesuffix(", same pod")](cri)
    refusals = [each for each in RECORDINGS[recording]["scenes"][scene] if "code" in each]
    if said:
        assert f"{refusals[0]['code']}: {refusals[0]['message']}" in said, "the engine's own words"
    groups = [path for path in node.path("/sys/fs/cgroup").rglob("*") if path.is_dir()]
    assert groups == [], "no pod is left"


def test_every_scene_was_recorded_on_every_engine() -> None:
    """But one: for CRI-O a second request for a pod is the first one again, so nothing is declined."""
    assert sorted(RECORDINGS) == ["containerd-crun", "containerd-runc", "crio-crun", "crio-runc"]
    lacking = {name: SCENES.keys() - said["scenes"].keys() for name, said in RECORDINGS.items()}
    assert lacking == {name: {"a name that is taken"} if "crio" in name else set() for name in RECORDINGS}
