from __future__ import annotations

from types import SimpleNamespace

import torch

from sepbench.harness.stages.cost import count_flops, count_parameters


def test_a_multiply_add_counts_as_two() -> None:
    weight, signal = torch.zeros(3, 5), torch.zeros(5, 7)

    with torch.inference_mode(), count_flops() as counted:
        weight @ signal

    assert counted.flops == 2 * 3 * 5 * 7


def test_a_product_added_in_place_counts_too() -> None:
    total = torch.zeros(3, 7)

    with torch.inference_mode(), count_flops() as counted:
        total.clone().addmm_(torch.zeros(3, 5), torch.zeros(5, 7))

    assert counted.flops == 2 * 3 * 5 * 7


def test_parameters_of_a_model_and_of_its_encoders_count_once() -> None:
    shared = torch.nn.Linear(2, 3)  # 9 parameters
    encoder = SimpleNamespace(card="card", load=print, network=torch.nn.Linear(1, 1))  # 2
    model = SimpleNamespace(network=shared, again=shared, text_encoder=encoder, rate=8000)

    assert count_parameters(model) == 9 + 2


def test_a_model_without_networks_has_no_number_of_parameters() -> None:
    assert count_parameters(SimpleNamespace(gain=0.5)) is None
