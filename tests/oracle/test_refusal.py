"""Grades of declined restores."""

from __future__ import annotations

import pytest

from harness.model.machine import Component
from harness.model.outcomes import Outcome, Refusal, Stage, Verdict
from harness.oracle.evidence import Evidence
from harness.oracle.judge import judge
from harness.oracle.refusal import graded

PODMAN = "checkpoint archive F was created with runtime 'crun' and cannot be restored with runtime 'runc'"


def side(**versions: str) -> tuple[Component, ...]:
    return tuple(Component(name=name, version=version) for name, version in versions.items())


CRUN, RUNC = side(crun="1.28", criu="4.2.1"), side(runc="1.1.15+ds1", criu="4.1.1")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (PODMAN, ("crun and runc",)),
        ("images of CRIU 4.2.1 cannot be restored by 4.1.1.", ("4.2.1 and 4.1.1",)),
        ("runc 1.1.15 cannot restore what crun 1.28 left", ("crun and runc",)),
        ("created with runtime 'crun'", ()),
        ("vdso: ELF header magic mismatch", ()),
        ("vcrun and runcs", ()),
        ("", ()),
    ],
)
def test_a_difference_is_named_where_both_sides_are(said: str, named: tuple[str, ...]) -> None:
    assert graded(said, CRUN, RUNC, late=False) == Refusal(early=True, named=named)


def test_an_engine_that_names_the_runtime_of_another_names_a_difference() -> None:
    said = "was created with runtime 'io.containerd.runc.v2' and cannot be restored with runtime 'runc'"
    versions = {"containerd": "2.1.9", "containerd-shim-runc-v2": "2.1.9", "runc": "1.3.6"}
    found = graded(said, side(**versions), side(podman="5.8.6", runc="1.3.6"), late=False)
    assert found.named == ("io.containerd.runc.v2 and runc",)
    assert graded(said, side(**versions), side(**versions), late=False).named == ()


def test_what_distributions_add_to_a_version_need_not_be_named() -> None:
    said = "saved by release 20221219.0, this is 20240729.0"
    found = graded(said, side(runsc="0.0~20221219.0"), side(runsc="0.0~20240729.0"), late=True)
    assert found == Refusal(early=False, named=("20221219.0 and 20240729.0",))


def test_between_equals_there_is_nothing_to_name() -> None:
    assert graded("crun 1.28 and criu 4.2.1", CRUN, CRUN, late=False).named == ()


FAILED = Verdict(outcome=Outcome.RESTORE_FAILED, stage=Stage.RESTORE, reason=PODMAN)


@pytest.mark.parametrize(
    ("refusal", "outcome"),
    [
        (Refusal(early=True, named=("crun and runc",)), Outcome.REFUSED),
        (Refusal(early=False, named=("crun and runc",)), Outcome.RESTORE_FAILED),
        (Refusal(early=True, named=()), Outcome.RESTORE_FAILED),
        (None, Outcome.RESTORE_FAILED),
    ],
)
def test_only_an_early_refusal_that_names_the_difference_is_one(refusal: Refusal | None, outcome: Outcome) -> None:
    assert judge(Evidence(failures=[FAILED], refusal=refusal)).outcome is outcome


def test_a_refusal_that_leaves_something_behind_is_none() -> None:
    refusal = Refusal(early=True, named=("crun and runc",))
    verdict = judge(Evidence(failures=[FAILED], refusal=refusal, leaks=("mount /x",)))
    assert verdict.found == (Outcome.LEAKED, Outcome.REFUSED)


def test_other_failures_stay_what_they_are() -> None:
    failed = FAILED.model_copy(update={"outcome": Outcome.CHECKPOINT_FAILED})
    verdict = judge(Evidence(failures=[failed], refusal=Refusal(early=True, named=("crun and runc",))))
    assert verdict.outcome is Outcome.CHECKPOINT_FAILED
