"""PaSST on its own package; what needs the package is skipped where it is not installed."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sepbench_testkit.audio_encoders import tones
from sepbench_testkit.filled import fill_array

from sepbench.baselines.encoders.passt import Passt, build, check
from sepbench.harness.errors import CheckpointError, MissingExtraError

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("hear21passt") is None,
    reason="needs hear21passt: pip install 'sepbench[passt]'",
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    from sepbench.baselines.encoders.passt import _quiet

    with _quiet():
        from hear21passt.models.passt import get_model

        layout = get_model(arch="passt_s_swa_p16_128_ap476", pretrained=False).state_dict()
    return {n: torch.from_numpy(fill_array(n, tuple(t.shape), 1)) for n, t in layout.items()}


@pytest.fixture(scope="module")
def encoder(state: dict[str, torch.Tensor]) -> Passt:
    loaded = Passt()
    loaded.load_state(state, "cpu")
    return loaded


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hear21passt.models.passt", None)
    monkeypatch.setitem(sys.modules, "hear21passt", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'sepbench\[passt\]'"):
        build({}, what="nothing")


@needs_package
def test_clips_have_the_packages_embeddings_without_its_prints(
    encoder: Passt, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = [tones(21, 64_000, 32_000), 0.1 * tones(22, 64_000, 32_000), torch.ones(1)]
    before = torch.random.get_rng_state()

    found = encoder.encode_audio(clips)

    assert found.shape == (3, encoder.card.dimension)
    assert found.isfinite().all()
    assert capsys.readouterr().out == ""
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(found[:1], encoder.encode_audio(clips[:1]), atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def package() -> Any:
    """The package's own HEAR module with numbers drawn by it; only its download is left out."""
    from sepbench.baselines.encoders.passt import _quiet

    with _quiet(), pytest.MonkeyPatch.context() as patched:
        from hear21passt import base
        from hear21passt.models.passt import get_model

        patched.setattr(base, "get_model_passt", partial(get_model, pretrained=False))
        torch.manual_seed(5)
        return base.load_model().eval()


@needs_package
@pytest.mark.parametrize("seconds", [0.5, 3.0, pytest.param(12.0, marks=pytest.mark.slow)])
def test_embeddings_are_those_of_the_packages_own_function(package: Any, seconds: float) -> None:
    from hear21passt.base import get_scene_embeddings

    from sepbench.baselines.encoders.passt import _quiet

    clip = tones(23, int(seconds * 32_000), 32_000)
    with _quiet():
        expected = get_scene_embeddings(clip[None], package)
    ours = Passt()
    ours.load_state(package.net.state_dict(), "cpu")

    found = ours.encode_audio([clip])

    assert expected.std() > 0.01  # numbers that tell clips apart
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@needs_package
def test_a_checkpoint_of_this_network_is_told_in_a_line(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "passt.pt")

    assert check(tmp_path / "passt.pt") == "PaSST-S, patches 10 apart, 1295-d"


@needs_package
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"cls_token": torch.zeros(1, 1, 768)}, tmp_path / "passt.pt")

    with pytest.raises(CheckpointError, match="missing"):
        check(tmp_path / "passt.pt")
