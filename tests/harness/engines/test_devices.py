from __future__ import annotations

from pathlib import Path

import pytest

from sepbench.harness.engines.devices import count_gpus, lane_devices
from sepbench.harness.engines.local import threads_per_lane
from sepbench.harness.settings import EngineSettings


@pytest.mark.parametrize(
    ("device", "lanes", "gpus", "expected"),
    [
        ("auto", None, 0, ("auto",)),
        ("auto", None, 1, ("auto",)),
        ("auto", None, 2, ("auto:0", "auto:1")),
        ("cuda", None, 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("cuda", None, 0, ("cuda",)),
        ("cuda:1", None, 4, ("cuda:1",)),
        ("cuda:0,1", None, 4, ("cuda:0", "cuda:1")),
        ("cpu", None, 4, ("cpu",)),
        ("cpu,cpu", None, 0, ("cpu", "cpu")),
        ("cpu", 3, 0, ("cpu", "cpu", "cpu")),
        ("cuda:0,1", 3, 2, ("cuda:0", "cuda:1", "cuda:0")),
        ("cuda", 1, 8, ("cuda:0",)),
    ],
)
def test_each_device_gets_a_lane(
    device: str, lanes: int | None, gpus: int, expected: tuple[str, ...]
) -> None:
    assert lane_devices(device, lanes, gpus=gpus) == expected


@pytest.mark.parametrize(
    ("visible", "expected"), [(None, 2), ("0", 1), ("1,0", 2), ("", 0), ("-1", 0), ("0,-1,1", 1)]
)
def test_only_visible_gpus_count(tmp_path: Path, visible: str | None, expected: int) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: A'\necho 'GPU 1: B'\n")
    program.chmod(0o755)
    environment = {"PATH": str(tmp_path)}
    environment |= {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}

    assert count_gpus(environment) == expected


def test_without_a_driver_there_are_no_gpus(tmp_path: Path) -> None:
    assert count_gpus({"PATH": str(tmp_path)}) == 0


@pytest.mark.parametrize(
    ("devices", "asked", "expected"),
    [(("cpu",), None, 8), (("cpu", "cpu"), None, 4), (("cpu",) * 9, None, 1), (("cpu",), 3, 3)],
)
def test_lanes_divide_the_cores(devices: tuple[str, ...], asked: int | None, expected: int) -> None:
    settings = EngineSettings(threads=asked, cores=8)

    assert threads_per_lane(settings, devices) == expected


def test_lanes_on_gpus_leave_half_of_the_cores_to_the_scorers() -> None:
    settings = EngineSettings(cores=16)

    assert threads_per_lane(settings, ("cuda:0", "cuda:1")) == 4
