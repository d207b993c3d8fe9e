"""The manifests for clusters have the fields that Kubernetes knows, and run what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from kube_models.apis_batch_v1.io.k8s.api.batch.v1 import Job
from pydantic import ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from harness.commands.cli import read
from harness.host.process import HOST
from harness.run import matrix

ROOT = Path(__file__).resolve().parents[2]
(MANIFEST,) = (ROOT / "ci/kubernetes").iterdir()
JOBS = TypeAdapter(list[Job], config=ConfigDict(extra="forbid"))
"""The published schema, under which an unknown field is an error."""


@pytest.fixture
def job() -> Any:
    found = YAML(typ="safe").load(MANIFEST.read_text(encoding="utf-8"))
    assert (found.pop("apiVersion"), found.pop("kind")) == (Job.apiVersion, Job.kind)
    return found


def pod(job: Any) -> Any:
    return job["spec"]["template"]["spec"]


def script(job: Any) -> str:
    (container,) = pod(job)["containers"]
    assert container["command"] == ["bash", "-euc"]
    (found,) = container["args"]
    return str(found)


def test_kubernetes_knows_every_field(job: Any) -> None:
    JOBS.validate_python([job])


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("spec", "backOffLimit", 0),
        ("spec", "completions", "one"),
        ("spec.template.spec", "hostPid", True),
        ("spec.template.spec", "containers", None),
        ("spec.template.spec.containers.0.securityContext", "priviledged", True),
        ("spec.template.spec.containers.0.volumeMounts.0", "mountpath", "/out"),
        ("spec.template.spec.volumes.0.hostPath", "kind", "Directory"),
    ],
)
def test_a_field_that_kubernetes_does_not_know_is_noticed(job: Any, where: str, name: str, value: object) -> None:
    part = job
    for step in where.split("."):
        part = part[int(step) if step.isdecimal() else step]
    part[name] = value
    with pytest.raises(ValidationError, match=re.escape(f"0.{where}.{name}\n")):
        JOBS.validate_python([job])


def test_it_has_what_the_harness_needs(job: Any) -> None:
    (container,) = pod(job)["containers"]
    assert container["securityContext"] == {"privileged": True}
    mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounted.keys() == {each["name"] for each in pod(job)["volumes"]}
    given = {each["name"]: each["value"] for each in container["env"]}
    assert given["STILLFRAME_CACHE"] == mounted["cache"]
    assert set(re.findall(r"\$(\w+)", script(job))) <= given.keys()


def test_one_pod_is_on_each_node(job: Any) -> None:
    (rule,) = pod(job)["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"] == job["spec"]["template"]["metadata"]["labels"]


def test_it_runs_the_cells_of_cri(job: Any) -> None:
    HOST.run(["bash", "-nc", script(job)])
    *_, last = script(job).splitlines()
    _, program, *words = shlex.split(last)
    assert (ROOT / program).stat().st_mode & 0o100
    _, chosen = read(["run", *words])
    cells = matrix.plan(stacks=chosen.stack, runtimes=chosen.runtime)
    assert {cell.checkpoint.runtime for cell in cells} == {"cri/containerd/runc", "cri/containerd/crun"}
    assert {str(chosen.out)} <= {each["mountPath"] for each in pod(job)["containers"][0]["volumeMounts"]}
