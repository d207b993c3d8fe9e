"""The needs of a checkpoint, read from its files, and the prediction of its restore."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints.compatibility import RULES, Machine, predict
from harness.checkpoints.criu.image import CGROUPS, CORE, FILES, IDS, INVENTORY, MOUNTS, NETWORK, PAGEMAP
from harness.checkpoints.needs import Form, Needs, needs
from harness.checkpoints.untrusted import Unreadable
from harness.model.machine import Component
from harness.model.outcomes import Answer
from tests import criu_images
from tests.checkpoints.translation.test_bridges import CRUN, EMPTY, GROUPS, OTHERS, RUNC, write
from tests.criu_images import PAGE, dump, tar
from tests.real_checkpoints import plain

NEW = [{"pages_id": 1}, {"vaddr": 4096, "compat_nr_pages": 0, "nr_pages": 3, "flags": 4}]
OLD = [{"pages_id": 1}, {"vaddr": 4096, "compat_nr_pages": 3, "flags": 4}]


def side(**versions: str) -> tuple[Component, ...]:
    return tuple(Component(name=name.replace("_", "/"), version=version) for name, version in versions.items())


RUNC_OLD, RUNC_NEW = side(runc="1.1.15+ds1", criu="4.1.1"), side(runc="1.4.3", criu="4.3")
CRUN_OLD, CRUN_NEW = side(crun="1.21", criu="4.1.1"), side(crun="1.28", criu="4.2.1")
PODMAN = side(podman="5.8.6", crun="1.28", criu="4.2.1")


def images(folder: Path, mounts: tuple[dict[str, Any], ...] = (), pages: list[dict[str, int]] = OLD) -> Path:
    dump(folder, bytes(3 * PAGE))
    write(folder / "inventory.img", INVENTORY, [{"img_version": 2, "root_cg_set": 1}])
    (folder / "tmpfs-dev-70.tar.gz.img").write_bytes(tar(folder.with_name("tmpfs"), {}, "w:gz").read_bytes())
    write(folder / "mountpoints-13.img", MOUNTS, (*mounts, *OTHERS))
    write(folder / "pagemap-1.img", PAGEMAP, pages)
    (folder / "descriptors.json").write_text("[]")
    return folder


def answers(found: Needs, **more: Any) -> list[Answer]:
    return [predict(found, each, **more).answer for each in (RUNC_OLD, RUNC_NEW, CRUN_OLD, CRUN_NEW)]


YES, NO = Answer.YES, Answer.NO


@pytest.mark.parametrize(("mounts", "pages", "expected"), [
    ((), OLD, [YES, YES, YES, YES]),
    (RUNC, OLD, [YES, YES, NO, NO]),
    (CRUN, OLD, [NO, NO, YES, YES]),
    ((*CRUN, *EMPTY), OLD, [NO, NO, NO, YES]),
    ((), NEW, [NO, YES, NO, YES]),
    (RUNC, NEW, [NO, YES, NO, NO]),
])  # fmt: skip
def test_it_is_predicted_from_what_the_images_ask_for(
    tmp_path: Path, mounts: tuple[dict[str, Any], ...], pages: list[dict[str, int]], expected: list[Answer]
) -> None:
    assert answers(needs(images(tmp_path, mounts, pages))) == expected


def test_criu_alone_knows_no_masks(tmp_path: Path) -> None:
    found = needs(images(tmp_path, (), NEW))
    assert predict(found, side(criu="4.3")).answer is YES
    assert predict(found, side(criu="4.1.1")).answer is NO
    masked = predict(needs(images(tmp_path, RUNC)), side(criu="4.3"))
    assert masked.answer is NO
    assert "as runc does, and no runtime provides them" in masked.reasons[0]


def test_what_no_runtime_has_made_no_runtime_restores(tmp_path: Path) -> None:
    (images(tmp_path) / "descriptors.json").unlink()
    found = needs(tmp_path)
    assert answers(found) == [NO, NO, NO, NO]
    assert predict(found, side(criu="4.3")).answer is YES


def test_what_the_configuration_explains_stands_in_nobodys_way(tmp_path: Path) -> None:
    found = needs(images(tmp_path, (*CRUN, *EMPTY)))
    assert answers(found, mapped=tuple(found.covers)) == [YES, YES, YES, YES]
    assert answers(found, mapped=("/proc/keys",)) == [NO, NO, NO, YES]


def test_settings_without_a_value_and_groups_without_a_description_are_told(tmp_path: Path) -> None:
    folder = images(tmp_path)
    assert not needs(folder).leaves_defaults_out
    write(folder / "netns-10.img", NETWORK, [{"ipv4_sysctl": [{"type": 6}]}])
    write(folder / "cgroup.img", CGROUPS, [GROUPS])
    found = needs(folder)
    assert (found.leaves_defaults_out, found.groups_left_out) == (True, True)
    assert answers(found) == [NO, YES, NO, YES]
    assert len(predict(found, CRUN_OLD).reasons) == 2


def podmans(path: Path, runtime: str, mounts: tuple[dict[str, Any], ...] = CRUN) -> Path:
    folder = path / "archive"
    images(folder / "checkpoint", mounts)
    (folder / "config.dump").write_text(json.dumps({"rootfsImageID": "x", "runtime": runtime}), encoding="utf-8")
    (folder / "spec.dump").write_text("{}", encoding="utf-8")
    tar(folder / "rootfs-diff.tar", {})
    archive = path / f"{runtime}.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(folder, ".")
    return archive


def test_podman_declines_another_runtime_before_criu_is_asked(tmp_path: Path) -> None:
    found = needs(podmans(tmp_path, "crun"))
    assert (found.form, found.engine, found.engine_runtime) == (Form.ENGINE, "podman", "crun")
    assert predict(found, PODMAN).answer is YES
    declined = predict(found, side(podman="5.4.2", runc="1.1.15", criu="4.1.1"))
    assert declined.answer is NO
    assert "here crun" in declined.reasons[0]


CONTAINERD = side(containerd="2.1.9+ds1", runc="1.3.6", criu="4.2.1")


@pytest.mark.parametrize(
    ("runtime", "restoring", "options"),
    [
        ("runc", side(podman="5.8.6", crun="1.28", criu="4.2.1"), "--runtime crun"),
        ("crun", PODMAN, ""),
        ("crun", side(crio="1.36", crun="1.28", criu="4.2.1"), "--to crio"),
        ("crun", CONTAINERD, "--to containerd --image NAME@DIGEST --runtime runc"),
    ],
)
def test_a_translation_that_removes_all_obstacles_is_named(
    tmp_path: Path, runtime: str, restoring: tuple[Component, ...], options: str
) -> None:
    made = CRUN if runtime == "crun" else RUNC
    assert predict(needs(podmans(tmp_path, runtime, made)), restoring).translate == options


def test_for_another_criu_a_translation_is_named_where_there_is_one(tmp_path: Path) -> None:
    found = needs(images(tmp_path, (), NEW))
    assert predict(found, RUNC_OLD).translate == "--criu 4.1"
    ancient = predict(found, side(runc="1.1.5", criu="3.17.1"))
    assert (ancient.answer, ancient.translate) == (NO, "")


def real(name: str, folder: Path) -> Needs:
    (folder / name).write_bytes(plain(name))
    return needs(folder / name)


@pytest.mark.parametrize(
    ("name", "version", "answer"),
    [
        ("containerd-runc-ledger", {"containerd": "1.7.24"}, NO),
        ("containerd-runc-ledger", {"containerd": "2.0.5"}, NO),
        ("containerd-runc-ledger", {"containerd": "2.1.9+ds1"}, YES),
        ("containerd-runc-ledger", {"containerd": "2.3.4"}, Answer.UNKNOWN),
        ("containerd-runc-ledger", {"containerd": "2.4.0-beta.0"}, NO),
        ("containerd-runc-ledger", {"crio": "1.36.3"}, NO),
        ("crio-runc-ledger", {"crio": "1.36.3"}, YES),
        ("crio-runc-image-file", {"crio": "1.36.3"}, YES),
        ("crio-runc-ledger", {"containerd": "2.1.9+ds1"}, NO),
        ("crio-runc-ledger", {"podman": "5.8.6"}, NO),
    ],
)
def test_engines_behind_cri_restore_their_own_archives(
    tmp_path: Path, name: str, version: dict[str, str], answer: Answer
) -> None:
    assert predict(real(name, tmp_path), side(**version, runc="1.3.6", criu="4.2.1")).answer is answer


def test_a_new_pod_has_no_file_of_another_pod(tmp_path: Path) -> None:
    found = real("containerd-runc-ledger", tmp_path)
    assert found.outside == {}
    shm = {"/dev/shm/x": "/dev/shm", "/report/y": "/report"}
    declined = predict(found.model_copy(update={"outside": shm}), CONTAINERD)
    assert (declined.answer, declined.translate) == (NO, "")
    assert "its processes use /dev/shm/x, and a new pod" in declined.reasons[0]
    assert predict(found.model_copy(update={"outside": {"/report/y": "/report"}}), CONTAINERD).answer is YES


@pytest.mark.parametrize("restoring", [CRUN_NEW, side(crio="1.36"), side(runsc="20240729.0")])
def test_nobody_reads_the_archive_of_another(tmp_path: Path, restoring: tuple[Component, ...]) -> None:
    assert predict(needs(podmans(tmp_path, "crun")), restoring).answer is NO


def test_engines_read_no_images_alone(tmp_path: Path) -> None:
    assert predict(needs(images(tmp_path)), PODMAN).answer is NO


def test_of_a_sandbox_nothing_can_be_told(tmp_path: Path) -> None:
    header = b'{"runsc_version": "release-20240729.0"}'
    (tmp_path / "checkpoint.img").write_bytes(b"gVisorSF" + len(header).to_bytes(8, "big") + header)
    found = needs(tmp_path)
    assert predict(found, side(runsc="20240729.0")).answer is Answer.UNKNOWN
    assert predict(found, RUNC_NEW).answer is NO


def test_what_is_no_checkpoint_is_declined(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="it holds no checkpoint of a known kind, but nothing"):
        needs(tmp_path)


def test_the_digest_is_that_of_what_it_takes_and_of_nothing_else(tmp_path: Path) -> None:
    one, same, other = (needs(images(tmp_path / name, mounts)) for name, mounts in
                        (("one", RUNC), ("same", RUNC), ("other", CRUN)))  # fmt: skip
    assert one.digest == same.digest != other.digest


def test_every_rule_tells_where_it_is_from() -> None:
    assert all(rule.link.startswith("https://") for rule in RULES)
    everything = Needs(form=Form.IMAGES)
    assert all(rule.why.format_map(everything.model_dump()) for rule in RULES)


def thread(folder: Path, *, xstate: int, mtype: int = 1) -> None:
    saved = {"mtype": mtype, "thread_info": {"fpregs": {"xsave": {"xstate_bv": xstate}}}}
    write(folder / "core-1.img", CORE, [saved])


def test_a_machine_has_to_have_the_registers_that_are_in_use(tmp_path: Path) -> None:
    thread(images(tmp_path), xstate=1 << 2 | 1 << 7)
    found = needs(tmp_path)
    assert (found.architecture, found.cpu, found.image_version) == ("x86_64", ("avx", "avx512f"), 2)
    assert found.mounts == ("/report",)
    known = predict(found, RUNC_NEW)
    able, lacking, other = (
        predict(found, RUNC_NEW, machine=Machine(architecture, frozenset(flags)))
        for architecture, flags in (
            ("x86_64", ("avx", "avx512f", "sse")),
            ("x86_64", ("avx",)),
            ("aarch64", ("avx", "avx512f")),
        )
    )
    assert (known.answer, able.answer, lacking.answer, other.answer) == (YES, YES, NO, NO)
    assert "registers of avx, avx512f, and this machine lacks some" in lacking.reasons[0]
    assert "another architecture, x86_64" in other.reasons[0]
    thread(tmp_path, xstate=0b11)
    assert needs(tmp_path).cpu == ()


def test_features_of_criu_that_it_uses_have_to_be_there(tmp_path: Path) -> None:
    folder = images(tmp_path)
    assert needs(folder).features == ()
    (folder / "userns-9.img").write_bytes(b"x")
    (folder / "seccomp.img").write_bytes(b"")
    criu_images.write(folder, "ids-1.img", IDS, {"cgroup_ns_id": 4, "time_ns_id": 0, "mnt_ns_id": 1})
    criu_images.write(folder, "files.img", FILES, {"type": 15, "id": 1})
    criu_images.write(folder, "netns-10.img", NETWORK, {"ext_key": "net"})
    found = needs(folder)
    assert found.features == ("cgroupns", "external_net_ns", "tun", "userns")
    for lacks, answer in (((), YES), (("timens",), YES), (("tun",), NO), (("tun", "userns"), NO)):
        assert predict(found, RUNC_NEW, lacks=lacks).answer is answer
    (reason,) = predict(found, RUNC_NEW, lacks=("tun",)).reasons
    assert reason.startswith("it uses cgroupns, external_net_ns, tun, userns, and `criu check --feature` says")
