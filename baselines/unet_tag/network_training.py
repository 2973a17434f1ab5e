"""The tag-conditioned U-Net in training, by the error of the magnitude."""

from __future__ import annotations

from torch import Tensor, nn

from sepbench.baselines.lassnet.network_training import magnitude_loss
from sepbench.baselines.unet_tag.network import UNetTagNetwork
from sepbench.harness.api.training import TrainingBatch

# B batch, N samples


class UNetTagTraining(nn.Module):
    """A network asked with the class that a target was drawn for; a `Trainee`."""

    def __init__(self, network: UNetTagNetwork) -> None:
        super().__init__()
        self.network = network

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean absolute error of the target's magnitude."""
        condition = self.network.condition(batch.asked)
        return magnitude_loss(self.network.UNet, batch.mixture, batch.target, condition)

    def estimates(self, batch: TrainingBatch) -> Tensor:
        """(B, N), with the mixture's phase."""
        return self.network.separate(batch.mixture, self.network.condition(batch.asked))
