from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.model.commands import Command
from harness.model.errors import Exit, RecordError
from harness.model.expectations import Expectation
from harness.model.machine import Component
from harness.model.outcomes import Outcome, Stage, Verdict
from harness.records.image_path import Attempt, Base, ImageFacts, ImagePath, Spot, Step, StepRefusal
from harness.records.run_files import read_images, write_images
from reports.analysis import images
from reports.analysis.images import kept, tables
from reports.formats import markdown
from reports.formats import report as write
from reports.pages import html
from reports.runs.read import read_run
from reports.terminal import terminal
from tests.reports.synthetic import STILL, expected_run, plan, store

OCI, DOCKER = "application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
MADE = ImageFacts(
    where="store",
    digest="sha256:01",
    media_type=OCI,
    parts=("application/x.layer",),
    annotations={Spot.MANIFEST: {"name": "source", "base": "b"}},
)
PUSHED = MADE.model_copy(update={"where": "registry", "digest": "sha256:02"})
ARRIVED = PUSHED.model_copy(update={"where": "store"})
STRIPPED = ARRIVED.model_copy(update={"digest": "sha256:03", "media_type": DOCKER, "annotations": {}})
RESTORED = Attempt(step=Step.RESTORE, verdict=Verdict(outcome=Outcome.CONSISTENT, reason="of one instant"))
UNPACKED = RESTORED.model_copy(update={"step": Step.UNPACK})
DECLINED = Attempt(
    step=Step.RESTORE,
    verdict=Verdict(outcome=Outcome.REFUSED, stage=Stage.RESTORE, reason="<b>no checkpoint</b> | *x*"),
    refusal=StepRefusal(said="no checkpoint", early=True, named=("that it is no checkpoint",)),
)


def path(
    route: str, *attempts: Attempt, looks: tuple[ImageFacts, ...] = (MADE, PUSHED, ARRIVED), **more: object
) -> ImagePath:
    values = {"stack": "s", "producer": "podman", "route": route, "looks": looks, "attempts": attempts, **more}
    return ImagePath.model_validate(values)


GOOD = path("registry", RESTORED, components=(Component(name="skopeo", version="1.22"),))
LOST = path("docker-schema", DECLINED, UNPACKED, looks=(MADE, PUSHED, STRIPPED, STRIPPED))
MISSING = path("registry", DECLINED, base=Base.MISSING)
REFUSED = Expectation(outcome=Outcome.REFUSED, reason="known", signature="no checkpoint")
KNOWN = LOST.model_copy(update={"expectation": REFUSED})


def entry(one: ImagePath) -> images.Entry:
    found = tables([one])[-1].rows[0][1][0]
    assert found is not None
    return found


def test_what_survives_is_counted_by_where_it_sat() -> None:
    assert entry(GOOD).lines == ("manifest 2/2", "digest as sent")
    assert entry(LOST).lines == (
        "manifest 0/2",
        "now a Docker manifest",
        "other digest",
        "archive in the image: consistent",
    )


def test_a_changed_value_has_not_survived() -> None:
    changed = ARRIVED.model_copy(update={"annotations": {Spot.MANIFEST: {"name": "source", "base": "c"}}})
    assert list(kept(path("registry", RESTORED, looks=(MADE, changed)))) == ["manifest 1/2"]


def test_what_the_registry_still_had_is_told() -> None:
    listed = MADE.model_copy(update={"media_type": INDEX, "annotations": {Spot.INDEX: {"name": "source"}}})
    found = path("registry-index", RESTORED, looks=(listed, listed, MADE))
    assert list(kept(found)) == ["index 0/1, 1 in the registry", "now a manifest"]


def test_what_did_not_get_through_is_told_without_a_count() -> None:
    sent = path("skopeo", DECLINED.model_copy(update={"step": Step.SEND}), looks=(MADE,))
    assert entry(sent).lines == ("not sent",)


def test_a_refusal_for_the_base_image_is_graded() -> None:
    assert entry(MISSING).lines == ("early", "mentions that it is no checkpoint")
    worse = StepRefusal(said="boom", early=False, named=(), left=("cgroup /x",))
    found = path("registry", DECLINED.model_copy(update={"refusal": worse}), base=Base.CHANGED)
    assert entry(found).lines == ("late", "gives no cause", "left behind: cgroup /x")


def test_a_restore_on_another_image_is_told() -> None:
    fooled = RESTORED.model_copy(update={"on_changed_base": True})
    told = ("restored on the wrong base image, without a warning",)
    assert entry(path("registry", fooled, base=Base.CHANGED)).lines == told


def test_states_of_the_base_image_have_a_table_of_their_own() -> None:
    first, second = tables([GOOD, LOST, MISSING])
    assert [label for label, _ in first.rows] == ["registry", "docker-schema"]
    assert [label for label, _ in second.rows] == ["missing"]


def test_a_way_that_another_image_does_not_go_is_empty() -> None:
    other = GOOD.model_copy(update={"producer": "containerd", "route": "registry-index"})
    (table,) = tables([GOOD, LOST, other])
    assert dict(table.rows)["registry-index"][0] is None


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ([GOOD, KNOWN], Exit.EXPECTED),
        ([GOOD, LOST], Exit.UNEXPECTED),
        ([GOOD.model_copy(update={"expectation": REFUSED})], Exit.UNEXPECTED),
        (
            [KNOWN.model_copy(update={"expectation": REFUSED.model_copy(update={"signature": "something else"})})],
            Exit.UNEXPECTED,
        ),
        ([path("x", Attempt(step=Step.MAKE, verdict=Verdict(outcome=Outcome.MISSING, reason="m")))], Exit.INCOMPLETE),
        ([], Exit.INCOMPLETE),
    ],
    ids=["as expected", "worse", "better", "other reason", "missing", "nothing"],
)
def test_the_exit_code_is_strict(paths: list[ImagePath], code: Exit) -> None:
    assert images.exit_code(paths) is code


def test_findings_tell_forms_versions_and_reasons_once() -> None:
    lines = list(images.findings([GOOD, KNOWN, MISSING]))
    assert lines[0] == f"podman: {OCI} of application/x.layer; facts about the base image: none"
    assert lines[1] == "s: skopeo 1.22"
    assert lines[2].startswith("podman.docker-schema@s and 1 more: refused: <b>no checkpoint</b>")


def test_it_is_printed_without_what_could_drive_a_terminal() -> None:
    out = io.StringIO()
    evil = GOOD.model_copy(update={"producer": "pod\x1b[31mman"})
    terminal.show_images([evil, KNOWN], Console(file=out, width=100, no_color=True))
    assert "\x1b" not in out.getvalue()
    assert "manifest 2/2" in out.getvalue()
    assert "as expected (exit code 0)" in out.getvalue()


def test_nothing_is_printed_where_there_are_none() -> None:
    out = io.StringIO()
    terminal.show_images([], Console(file=out))
    assert out.getvalue() == ""


def test_what_was_said_is_escaped_in_both_reports() -> None:
    assert "<b>no checkpoint" not in html.render_images([LOST])
    assert "&lt;b&gt;no checkpoint&lt;/b&gt;" in html.render_images([LOST])
    assert "&lt;b&gt;no checkpoint&lt;/b&gt; &#124; \\*x\\*" in markdown.render_images([LOST])


def test_they_come_back_as_they_were_written(tmp_path: Path) -> None:
    command = Command(argv=("podman", "push"), where="s", stage=Stage.PREPARE, start_ns=1, seconds=0.5)
    paths = (GOOD.model_copy(update={"commands": (command,)}), KNOWN)
    written = write_images(tmp_path, paths)
    assert written.stat().st_mode & 0o777 == 0o600, "commands may reveal the contents of a container"
    assert read_images(tmp_path) == paths


def test_a_line_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    with write_images(tmp_path, [GOOD]).open("a", encoding="utf-8") as file:
        file.write("{}\n")
    with pytest.raises(RecordError, match=r"images\.jsonl:2 is not a valid imagepath"):
        read_images(tmp_path)


def test_a_run_has_them_in_its_report_and_in_its_exit_code(tmp_path: Path) -> None:
    folder = store(tmp_path / "run", plan([STILL]), expected_run([STILL]))
    before = read_run(folder).conclusion.exit_code
    write_images(folder, [GOOD, LOST])
    run = read_run(folder)
    assert run.images == (GOOD, LOST)
    assert (before, run.conclusion.exit_code) == (Exit.EXPECTED, Exit.UNEXPECTED)
    assert "podman.docker-schema@s" in run.conclusion.sentence
    page = write.write_report([folder]).with_name("interoperability.html").read_text(encoding="utf-8")
    assert 'id="images"' in page
    assert "Checkpoint images in s" in (folder / "report/report.md").read_text(encoding="utf-8")


def test_a_report_of_their_own_is_written(tmp_path: Path) -> None:
    page = write.write_images([GOOD, KNOWN], tmp_path)
    assert "As expected" in page.read_text(encoding="utf-8")
