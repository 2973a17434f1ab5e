"""LASS-Net's network: the published numbers, plain and fast, and its behaviour beyond them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sepbench.baselines.lassnet.network import LassNetwork, NetworkConfig, UNet, frames_seen
from sepbench.baselines.lassnet.network_inference import InferenceNetwork
from sepbench.baselines.lassnet.network_signal import to_spectrum, to_waveform
from sepbench.harness.errors import SettingError

TOLERANCE = {"query": 1e-5, "logits": 1e-3, "mask": 1e-4, "wav": 1e-5}
SMALL = NetworkConfig(widths=(4, 8, 8), condition=6, sample_rate=8000, n_fft=64)


@pytest.fixture
def small():
    """A small separator whose normalisations are not neutral."""
    torch.manual_seed(0)
    network = UNet(SMALL)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.2)
            nn.init.normal_(part.bias, 0.0, 0.2)
            part.running_mean.normal_(0.0, 0.2)
            part.running_var.uniform_(0.5, 2.0)
    return network.eval()


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def furthest(values: torch.Tensor, expected: torch.Tensor) -> float:
    assert values.shape == expected.shape
    return float((values - expected).abs().max())


def differences(case, query, logits, wav):
    """Largest difference from the stored numbers by kind."""
    stored = case.sampled(logits)
    found = {
        "query": query,
        "logits": stored,
        "mask": stored.sigmoid(),
        "wav": wav[:, : case.output_samples],
    }
    return {kind: furthest(found[kind], case.expected[kind]) for kind in found}


def run(case, network, separator):
    """Query, logits and waveform, the separator plain or fast."""
    with torch.inference_mode():
        query = network.text_embedder(case.input_ids, case.attention_mask)
        spectrum = to_spectrum(case.mixture, 1024)
        magnitude = frames_seen(spectrum, case.mixture.shape[-1], network.config)
        if isinstance(separator, InferenceNetwork):
            logits = separator.logits(magnitude, separator.additions(query))
        else:
            logits = separator(magnitude, query)
        return query, logits, to_waveform(logits, spectrum, 1024, case.mixture.shape[-1])


# --- against the official network ------------------------------------------------------------


@pytest.mark.parametrize("name", ["b", "c"])
def test_the_trained_form_gives_the_official_numbers(name, golden, plain_network):
    case = golden(name)

    query, logits, wav = run(case, plain_network, plain_network.UNet)

    assert logits.shape == (len(case.mixture), case.frames, 513)
    found = differences(case, query, logits, wav)
    assert {kind: value for kind, value in found.items() if value > TOLERANCE[kind]} == {}


@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_the_fast_form_gives_the_official_numbers(name, golden, plain_network, fast_network):
    case = golden(name)

    found = differences(case, *run(case, plain_network, fast_network))

    assert {kind: value for kind, value in found.items() if value > TOLERANCE[kind]} == {}


def test_waveforms_far_from_the_mixture_are_the_official_ones(golden, other_last_layer):
    case = golden("e")
    network = other_last_layer

    plain = differences(case, *run(case, network, network.UNet))
    fast = differences(case, *run(case, network, InferenceNetwork(network.UNet)))

    assert case.has_other_last_layer
    for found in (plain, fast):
        assert {kind: value for kind, value in found.items() if value > TOLERANCE[kind]} == {}


def test_every_block_gives_the_official_values(golden, plain_network):
    case = golden("a")
    seen = {}
    hooks = [
        plain_network.UNet.get_submodule(name).register_forward_hook(
            lambda _module, _given, output, name=name: seen.update({name: output})
        )
        for name in case.blocks
    ]

    run(case, plain_network, plain_network.UNet)

    for hook in hooks:
        hook.remove()
    assert len(seen) == 15
    for name, stored in case.blocks.items():
        outputs = seen[name] if isinstance(seen[name], tuple) else (seen[name],)
        for output, row in zip(outputs, stored, strict=True):
            flat = output.flatten()
            probe = flat[[0, len(flat) // 3, len(flat) // 2, len(flat) - 1]]
            assert list(output.shape) == row["shape"], name
            assert probe.tolist() == pytest.approx(row["probe"], abs=2e-3), name
            assert float(output.abs().max()) == pytest.approx(row["absmax"], rel=1e-5), name
            assert float(output.double().mean()) == pytest.approx(row["mean"], abs=1e-4), name


def test_the_last_two_bins_are_halved(golden, plain_network, fast_network):
    case = golden("d")

    _, logits, _ = run(case, plain_network, fast_network)

    assert torch.equal(logits[..., 511:].sigmoid(), torch.full((1, 64, 2), 0.5))


def test_the_published_sizes_are_the_default(plain_network):
    sizes = {
        name: sum(p.numel() for p in part.parameters())
        for name, part in plain_network.named_children()
    }

    assert sizes == {"text_embedder": 11_170_560, "UNet": 52_228_323}


# --- batches, texts, lengths, silence ---------------------------------------------------------


def test_a_batch_of_two_gives_what_singles_give(golden, plain_network, fast_network):
    case = golden("b")
    additions = fast_network.additions(case.expected["query"])

    with torch.inference_mode():
        batch = fast_network(case.mixture[:, :40_000], additions)
        singles = [
            fast_network(case.mixture[i : i + 1, :40_000], additions[i : i + 1]) for i in range(2)
        ]

    assert furthest(batch, torch.cat(singles)) < 1e-5


def test_padding_of_a_text_does_not_change_its_query(golden, plain_network):
    case = golden("b")
    alone = case.input_ids[1:, :3]

    with torch.inference_mode():
        query = plain_network.text_embedder(alone, torch.ones_like(alone))

    assert furthest(query, case.expected["query"][1:]) < 1e-5


@pytest.mark.parametrize("length", [513, 514, 1023, 1024, 1025, 32_256, 50_001])
def test_a_mask_of_one_gives_all_samples_back(length):
    mixture = noise(2, length)
    spectrum = to_spectrum(mixture, 1024)

    estimate = to_waveform(torch.full((2, length // 512 + 1, 513), 40.0), spectrum, 1024, length)

    assert furthest(estimate, mixture) < 2e-6


@pytest.mark.parametrize("length", [513, 514, 1023, 5001])
def test_samples_within_whole_hops_do_not_depend_on_the_rule_for_the_rest(length):
    mixture = noise(1, length)
    whole = length // 512 * 512
    logits = noise(1, length // 512 + 1, 513, seed=1)
    window = torch.hann_window(1024)
    official = torch.stft(mixture, 1024, 512, window=window, return_complex=True)
    expected = torch.istft(official * logits.sigmoid().mT, 1024, 512, window=window)

    estimate = to_waveform(logits, to_spectrum(mixture, 1024), 1024, length)

    assert furthest(estimate[:, :whole], expected) < 2e-6


@pytest.mark.parametrize("length", [513, 514, 32_255, 32_256])
def test_any_length_from_the_shortest_up_is_separated(length, golden, fast_network):
    additions = fast_network.additions(golden("d").expected["query"])

    with torch.inference_mode():
        estimate = fast_network(noise(1, length), additions)

    assert estimate.shape == (1, length)
    assert estimate.isfinite().all()
    assert estimate.abs().max() > 0.01


def test_silence_stays_silence(golden, plain_network, fast_network):
    query = golden("d").expected["query"]
    silence = torch.zeros(1, 3000)

    with torch.inference_mode():
        plain = plain_network.separate(silence, query)
        fast = fast_network(silence, fast_network.additions(query))

    assert torch.equal(plain, silence)
    assert torch.equal(fast, silence)


# --- the fast form ---------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 3])
def test_the_fast_form_is_the_trained_one_at_any_size(batch, small):
    magnitude, condition = noise(batch, 21, 33).abs(), noise(batch, 6, seed=1)
    fast = InferenceNetwork(small)

    with torch.inference_mode():
        expected = small(magnitude, condition)
        logits = fast.logits(magnitude, fast.additions(condition))

    assert expected.std() > 0.01
    assert furthest(logits, expected) < 1e-5


def test_the_fast_form_leaves_its_input_and_keeps_its_own_tensors(small):
    magnitude, condition = noise(1, 24, 33).abs(), noise(1, 6, seed=1)
    kept = magnitude.clone()
    fast = InferenceNetwork(small)
    with torch.inference_mode():
        before = fast.logits(magnitude, fast.additions(condition))

    with torch.no_grad():
        for parameter in small.parameters():
            parameter.zero_()
    with torch.inference_mode():
        after = fast.logits(magnitude, fast.additions(condition))

    assert torch.equal(magnitude, kept)
    assert torch.equal(before, after)
    assert not any(parameter.requires_grad for parameter in fast.parameters())


@pytest.mark.parametrize("batch", [1, 2])
def test_half_the_digits_change_the_estimate_little_and_its_type_not(batch, small):
    mixture, fast = noise(batch, 2000), InferenceNetwork(small)
    additions = fast.additions(noise(batch, 6, seed=1))

    with torch.inference_mode():
        exact = fast(mixture, additions)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = fast(mixture, additions)

    assert rough.dtype == torch.float32
    assert 0 < furthest(rough, exact) < 0.02


@pytest.mark.parametrize("batch", [1, 2])
def test_the_fast_form_is_one_graph_that_can_be_compiled(batch, small):
    fast = InferenceNetwork(small)
    magnitude = noise(batch, 8, 33).abs()
    with torch.inference_mode():
        additions = fast.additions(noise(batch, 6, seed=1))
        expected = fast.logits(magnitude, additions)

        # All of the compiler but the making of machine code, which takes half a minute.
        fast.inner.compile(backend="aot_eager", fullgraph=True)
        logits = fast.logits(magnitude, additions)

    assert furthest(logits, expected) < 1e-5


# --- training --------------------------------------------------------------------------------


def test_every_weight_of_the_separator_learns(small):
    small.train()

    small(noise(2, 16, 33).abs(), noise(2, 6, seed=1)).square().mean().backward()

    unmoved = [name for name, p in small.named_parameters() if p.grad is None]
    assert unmoved == []


def test_a_network_for_training_starts_as_the_original():
    torch.manual_seed(0)
    network = LassNetwork(SMALL)
    separator = network.UNet
    convolution = separator.encoder_block2.conv_block1.conv1.weight  # 4 -> 8 channels
    bound = math.sqrt(6 / (9 * (4 + 8)))

    assert bound * 0.9 < convolution.detach().abs().max() <= bound
    assert torch.equal(separator.after_conv2.bias, torch.zeros(1))
    word = network.text_embedder.bert_layer.embeddings.word_embeddings.weight
    assert float(word.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert all(p.isfinite().all() for p in network.parameters())


def test_a_network_for_training_goes_from_tokens_to_waveforms():
    network = LassNetwork(SMALL)
    ids = torch.tensor([[101, 7, 8], [101, 9, 0]])

    estimate = network(noise(2, 1000), ids, (ids > 0).long())
    estimate.square().mean().backward()

    assert estimate.shape == (2, 1000)
    assert network.text_embedder.linear_layer[0].weight.grad is not None


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"widths": ()}, "has an empty part"),
        ({"condition": 0}, "has an empty part"),
        ({"n_fft": 1000}, "n_fft=1000 does not fit 6 blocks. Give a multiple of 256"),
        ({"widths": (4, 8), "n_fft": 8}, "n_fft=8 does not fit 2 blocks. Give a multiple of 16"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(sizes, words):
    with pytest.raises(SettingError, match=words):
        NetworkConfig(**sizes)
