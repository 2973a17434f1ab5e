"""The U-Net in a small size: shapes, lengths, silence, and what makes it fast changes nothing."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from sepbench.baselines.stsed import network_separator
from sepbench.baselines.stsed.network_separator import Separator, SeparatorConfig, initialise
from sepbench.baselines.stsed.network_winograd import Winograd
from sepbench.harness.stages.cost import count_parameters

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
def test_prepared_for_a_cpu_layers_of_many_channels_take_fewer_products(
    monkeypatch: pytest.MonkeyPatch, network: Separator
) -> None:
    mixture, condition = torch.randn(2, 500), torch.randn(2, 5)
    before, count = network(mixture, condition), count_parameters(network)
    elsewhere = deepcopy(network)
    monkeypatch.setattr(network_separator, "LEAST_CHANNELS", 6)

    network.prepare("cpu")
    elsewhere.prepare("cuda")

    torch.testing.assert_close(network(mixture, condition), before, atol=1e-5, rtol=0)
    made = [name for name, each in network.named_modules() if isinstance(each, Winograd)]
    assert made == [
        "encoder_block2.conv_block.conv2",
        "conv_block3.conv1",
        "conv_block3.conv2",
        "decoder_block1.conv_block2.conv1",
        "decoder_block1.conv_block2.conv2",
    ]
    assert not any(isinstance(each, Winograd) for each in elsewhere.modules())
    assert count_parameters(network) == count_parameters(elsewhere) < count


@pytest.mark.parametrize("size", [(2, 2), (5, 16), (4, 7), (1, 1)])
@pytest.mark.parametrize("bias", [False, True])
@torch.no_grad()
def test_fewer_products_give_the_convolution(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(7, 5, 3, padding=1, bias=bias).to(memory_format=torch.channels_last)
    image = torch.randn(3, 7, *size)

    found = Winograd(conv)(image)

    torch.testing.assert_close(found, conv(image), atol=1e-5, rtol=0)


@torch.no_grad()
def test_fewer_products_are_taken_in_float32_whatever_the_precision() -> None:
    conv = torch.nn.Conv2d(64, 64, 3, padding=1)
    image = torch.randn(1, 64, 4, 4)

    with torch.autocast("cpu", torch.bfloat16):
        found = Winograd(conv)(image.bfloat16())

    torch.testing.assert_close(found, conv(image.bfloat16().float()), atol=1e-5, rtol=0)


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
