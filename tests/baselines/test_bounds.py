from __future__ import annotations

import torch

from sepbench.baselines.bounds import Mixture
from sepbench.harness.api import Query


def test_the_mixture_is_the_answer_to_every_query():
    mixture = torch.randn(2, 1001, generator=torch.Generator().manual_seed(0))

    estimates = Mixture().separate_scene(mixture, [Query(text="a dog"), Query(text="a horn")])

    assert estimates.shape == (2, 2, 1001)
    assert torch.equal(estimates[0], mixture)
    assert torch.equal(estimates[1], mixture)


def test_an_estimate_can_be_changed_without_changing_the_mixture():
    mixture = torch.ones(1, 4)

    Mixture().separate_scene(mixture, [Query(text="a dog")]).zero_()

    assert mixture.tolist() == [[1, 1, 1, 1]]
