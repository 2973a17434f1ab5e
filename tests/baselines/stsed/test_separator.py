"""The U-Net in a small size: shapes, lengths, silence, and what makes it fast changes nothing."""

from __future__ import annotations

import pytest
import torch

from sepbench.baselines.stsed.network_separator import Separator, SeparatorConfig, initialise

SMALL = SeparatorConfig(widths=(4, 6, 8), condition=5, n_fft=64, hop=16)


@pytest.fixture
def network() -> Separator:
    torch.manual_seed(0)
    made = Separator(SMALL)
    initialise(made)
    for norm in made.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2.0)
    return made.eval()


@pytest.mark.parametrize("length", [33, 160, 1000, 1023])
def test_estimates_are_as_long_as_the_mixture(length: int, network: Separator) -> None:
    estimate = network(torch.randn(2, length), torch.randn(2, 5))

    assert estimate.shape == (2, length)
    assert estimate.isfinite().all()


@torch.no_grad()
def test_prepared_for_speed_it_computes_the_same(network: Separator) -> None:
    mixture, condition = torch.randn(2, 500), torch.randn(2, 5)
    before = network(mixture, condition)

    network.prepare()
    after = network(mixture, condition)

    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    kept = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert kept == [network.bn0]
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in network.modules())


@torch.no_grad()
def test_silence_stays_silence(network: Separator) -> None:
    estimate = network(torch.zeros(1, 400), torch.randn(1, 5))

    assert estimate.abs().max() == 0


@torch.no_grad()
def test_the_query_changes_the_mask_and_never_the_highest_bin(network: Separator) -> None:
    magnitude = network.spectrum(torch.randn(1, 400)).abs()

    one, other = (network.mask(magnitude, torch.randn(1, 5)) for _ in range(2))

    assert (one - other).abs().max() > 0.01
    assert (one[:, -1] == 0.5).all()
    assert (one > 0).all()
    assert (one < 1).all()


@torch.no_grad()
def test_items_of_a_batch_do_not_see_each_other(network: Separator) -> None:
    mixture, condition = torch.randn(3, 400), torch.randn(3, 5)

    together = network(mixture, condition)
    alone = torch.cat([network(mixture[i : i + 1], condition[i : i + 1]) for i in range(3)])

    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_it_can_be_trained(network: Separator) -> None:
    network.train()

    network(torch.randn(2, 400), torch.randn(2, 5)).abs().mean().backward()

    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    "sizes", [{"widths": (4,)}, {"widths": (4, 0)}, {"widths": (4, 4, 4), "n_fft": 20}]
)
def test_sizes_that_do_not_fit_together_are_refused(sizes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"widths=|n_fft=20"):
        SeparatorConfig(**sizes)
