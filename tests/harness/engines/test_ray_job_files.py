"""The job files beside docs/ray.md, as far as they can be checked without a cluster."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sepbench.harness.settings import RaySettings

DOCS = Path(__file__).resolve().parents[3] / "docs"
FILES = DOCS / "examples" / "ray"

# Of ray.io/v1, as KubeRay 1.1 and later name them; an unknown field is refused by the operator.
JOB = {"entrypoint", "submissionMode", "backoffLimit", "shutdownAfterJobFinishes"}
JOB |= {"ttlSecondsAfterFinished", "rayClusterSpec"}
CLUSTER = {"rayVersion", "enableInTreeAutoscaling", "headGroupSpec", "workerGroupSpecs"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
CONTAINER = {"name", "image", "env", "resources", "volumeMounts"}


def cluster_of(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((FILES / name).read_text("utf-8"))["spec"]
    return spec.get("rayClusterSpec", spec)  # type: ignore[no-any-return] # plain YAML


def test_the_script_for_slurm_is_good_bash() -> None:
    done = subprocess.run(
        ["bash", "-n", str(FILES / "slurm.sh")], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_job_for_kubernetes_has_known_fields() -> None:
    job = yaml.safe_load((FILES / "rayjob.yaml").read_text("utf-8"))

    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) == JOB


@pytest.mark.parametrize("name", ["rayjob.yaml", "raycluster.yaml"])
def test_the_clusters_have_known_fields_and_mount_what_they_name(name: str) -> None:
    cluster = cluster_of(name)
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    containers = [container for pod in pods for container in pod["containers"]]

    assert set(cluster) <= CLUSTER
    assert all(set(group) <= GROUP for group in groups)
    assert all(set(container) == CONTAINER for container in containers)
    # Ray takes its parameters as text, as on a command line.
    assert all(isinstance(v, str) for group in groups for v in group["rayStartParams"].values())
    mounted = [{mount["name"] for mount in c["volumeMounts"]} for c in containers]
    assert mounted == [{volume["name"] for volume in pod["volumes"]} for pod in pods]


@pytest.mark.parametrize("path", [DOCS / "ray.md", *sorted(FILES.iterdir())], ids=lambda p: p.name)
def test_settings_that_are_named_exist(path: Path) -> None:
    named = set(re.findall(r"engine\.ray\.(\w+)", path.read_text("utf-8")))

    assert named <= {field.name for field in dataclasses.fields(RaySettings)}
