from __future__ import annotations

import datetime as dt
from functools import partial
from pathlib import Path

import pytest

from harness.commands import cli, images
from harness.host import audit
from harness.images.engines import ENGINES
from harness.images.producers import CheckpointctlByHand, PodmanImage
from harness.images.routes import ROUTES
from harness.images.study import Sent, _chosen, _tried, planned
from harness.model.errors import CommandFailed, DeadlineExceeded, EnvironmentUnfit
from harness.model.expectations import About, known
from harness.model.outcomes import Outcome, Verdict
from harness.privacy.redaction import HOME, USER, Redaction
from harness.records.image_path import EXPECTED, Attempt, Base, ImagePath, Step
from harness.records.run_files import read_images
from harness.run import prepare

BY_NAME = {route.name: route for route in ROUTES}


def fails(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (CommandFailed("x", stderr="Error: unexpected media type a/b", runtime=True), Outcome.REFUSED),
        (CommandFailed("x", stderr="Error: boom", runtime=True), Outcome.RESTORE_FAILED),
        (CommandFailed("ours", stderr="media type"), Outcome.HARNESS_ERROR),
        (DeadlineExceeded("late"), Outcome.HUNG),
        (DeadlineExceeded("late", ours=True), Outcome.HARNESS_ERROR),
        (EnvironmentUnfit("no room"), Outcome.HARNESS_ERROR),
        (OSError("no such file"), Outcome.HARNESS_ERROR),
    ],
)
def test_a_tool_is_blamed_for_what_it_declined_and_for_nothing_else(error: Exception, outcome: Outcome) -> None:
    found = _tried(Step.SEND, lambda: fails(error))
    assert found is not None
    assert (found.step, found.verdict.outcome) == (Step.SEND, outcome)
    assert (found.refusal is not None) is (outcome in (Outcome.REFUSED, Outcome.RESTORE_FAILED))


def test_what_goes_well_is_no_attempt_to_tell_of() -> None:
    assert _tried(Step.MAKE, lambda: None) is None


@pytest.mark.parametrize("kept", [False, True])
def test_what_is_written_of_images_names_nobody_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: bool
) -> None:
    told = Attempt(step=Step.MAKE, verdict=Verdict(outcome=Outcome.REFUSED, reason="podman: ada has no /home/ada/x"))
    path = next(planned("debian-sid")).model_copy(update={"attempts": (told,)})
    monkeypatch.setattr(images, "study", lambda *_: [path])
    monkeypatch.setattr(audit, "of_host", lambda: audit.NOTHING)
    knowing = partial(Redaction.knowing, {USER: ("ada", "podman")}, {"/home/ada": HOME})
    monkeypatch.setattr(prepare, "redaction_here", lambda spared: knowing(spared=spared))
    cli.main(["images", "--out", str(tmp_path), *(["--keep-names"] if kept else [])])
    (folder,) = tmp_path.iterdir()
    texts = {each.name: each.read_text(encoding="utf-8") for each in folder.iterdir()} | {"": capsys.readouterr().out}
    assert set(texts) == {"images.jsonl", "report.md", "index.html", ""}
    found = "podman: ada has no /home/ada/x" if kept else "podman: [user] has no ~/x"
    assert read_images(folder)[0].attempts[0].verdict.reason == found
    assert any("ada" in text for text in texts.values()) is kept


def test_a_route_takes_up_only_one_that_was_gone_before() -> None:
    names = [route.name for route in ROUTES]
    assert len(set(names)) == len(names)
    assert all(names.index(route.after) < names.index(route.name) for route in ROUTES if route.after)


def test_every_producer_is_planned_on_every_way_that_is_for_it() -> None:
    paths = list(planned("debian-sid"))
    assert len({path.id for path in paths}) == len(paths)
    ways = {producer.name: {path.route for path in paths if path.producer == producer.name} for producer in PRODUCERS}
    assert "registry-index" not in ways["podman"]
    assert "registry-index" in ways["containerd"]
    assert {path.outcome for path in paths} == {Outcome.MISSING}


PRODUCERS = [producer for engine in ENGINES for producer in engine.producers]


def test_the_base_image_is_tried_by_the_first_way_that_restores() -> None:
    sent = [Sent(producer, BY_NAME[name]) for producer in (PodmanImage(), CheckpointctlByHand()) for name in BY_NAME]
    restored = {("podman", "oci-archive"), ("podman", "skopeo"), ("checkpointctl-by-hand", "registry")}
    assert [each.key for each in _chosen(sent, restored)] == [
        ("podman", "oci-archive"),
        ("checkpointctl-by-hand", "registry"),
    ]
    assert list(_chosen(sent, set())) == []


def test_what_is_declared_of_an_image_is_found_by_its_id() -> None:
    today = dt.date(2026, 12, 1)
    path = next(path for path in planned("debian-sid") if path.id == "podman.docker-schema@debian-sid")
    assert known(path, today, EXPECTED, About.IMAGES).outcome is Outcome.REFUSED
    other = path.model_copy(update={"route": "registry"})
    assert known(other, today, EXPECTED, About.IMAGES) is EXPECTED
    assert not _with(other, Outcome.MISSING).as_expected


def _with(path: ImagePath, outcome: Outcome) -> ImagePath:
    verdict = path.attempts[0].verdict.model_copy(update={"outcome": outcome})
    return path.model_copy(update={"attempts": (path.attempts[0].model_copy(update={"verdict": verdict}),)})


def test_a_state_of_the_base_image_is_part_of_an_id_unless_it_is_there() -> None:
    path = next(iter(planned("s")))
    assert path.id == "podman.as-made@s"
    assert path.model_copy(update={"base": Base.CHANGED}).id == "podman.as-made.changed@s"
