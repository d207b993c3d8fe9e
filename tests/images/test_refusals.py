from __future__ import annotations

import pytest

from harness.images.refusals import FORMAT, MOST_SAID, facts_of_base, refusal, verdict
from harness.model.outcomes import Outcome

BASE = facts_of_base("localhost:5000/base:latest", digest="sha256:" + "d" * 64, identity="a" * 64)


@pytest.mark.parametrize(
    ("stderr", "names"),
    [
        ("Error: reading manifest latest in localhost:5000/base: manifest unknown", ("name of the base image",)),
        (f'Error: locating image with ID "{"a" * 64}": image not known', ("id of the base image",)),
        (
            f"Error: localhost:5000/base@sha256:{'d' * 64} is gone",
            ("name of the base image", "digest of the base image"),
        ),
        ("Error: no", ()),
        ("", ()),
    ],
)
def test_a_refusal_is_told_by_what_it_names(stderr: str, names: tuple[str, ...]) -> None:
    found = refusal(stderr, BASE)
    assert found.early
    assert found.named == names
    assert verdict(found).outcome is (Outcome.REFUSED if names else Outcome.RESTORE_FAILED)


@pytest.mark.parametrize("line", ["(00.012345) Error (criu/mount.c:1): no", "runc: criu failed: type NOTIFY errno 0"])
def test_after_criu_was_called_it_is_late(line: str) -> None:
    told = f"Error: localhost:5000/base does not fit\n{line}"
    assert not refusal(told, BASE).early
    assert not refusal("Error: localhost:5000/base does not fit", BASE, log=(line,)).early
    assert verdict(refusal(told, BASE)).outcome is Outcome.RESTORE_FAILED


def test_what_a_tool_says_before_is_not_taken_for_a_reason() -> None:
    told = "Trying to pull localhost:5000/base:latest...\nError: broken\n"
    found = refusal(told, BASE)
    assert found.said == "Error: broken"
    assert found.named == ()


def test_a_warning_does_not_name_what_an_error_is_about() -> None:
    told = 'level=warning msg="unknown type: application/vnd.x"\nctr: 500 Internal Server Error'
    assert refusal(told, FORMAT).named == ()
    assert refusal("ctr: unexpected media type application/vnd.x", FORMAT).named == ("media type",)
    assert refusal("Error: image is not a checkpoint: 0123", FORMAT).named == ("that it is not a checkpoint",)


def test_endless_words_are_cut() -> None:
    assert len(refusal("x" * 100_000, BASE).said) == MOST_SAID
