"""Networks of your own sizes, words or classes at 32 kHz, as `bench train` writes them.

Their files are those of the small models; only the rate is another. unet-tag reads its own.
"""

from __future__ import annotations

from dataclasses import replace

from sepbench.baselines.small.audiosep import AudioSepSmall
from sepbench.baselines.small.lassnet import LassNetSmall
from sepbench.baselines.small.stsed import StSedSmall
from sepbench.harness.api import BaselineCard

SAMPLE_RATE = 32_000
LONGEST_FRAME = 4096


def _card(small: BaselineCard, name: str, recipe: str) -> BaselineCard:
    return replace(
        small,
        name=name,
        summary=f"the network of {recipe} in your own sizes or classes at 32 kHz. bench train "
        f"{recipe}, then models.{name}.checkpoint=FILE",
        sample_rate=SAMPLE_RATE,
        min_samples=LONGEST_FRAME // 2 + 1,  # both ends are reflected over half a frame
        licence="",
        training_data=(),
    )


class LassNetOwn(LassNetSmall):
    """A LASS-Net with words of its own.

    Args:
        checkpoint: lassnet.safetensors.
    """

    card = _card(LassNetSmall.card, "lassnet-own", "lassnet")

    def __init__(self, *, checkpoint: str = "") -> None:
        super().__init__(checkpoint=checkpoint)


class AudioSepOwn(AudioSepSmall):
    """An AudioSep under a contrastive pair.

    Args:
        checkpoint: audiosep.safetensors.
    """

    card = _card(AudioSepSmall.card, "audiosep-own", "audiosep")

    def __init__(self, *, checkpoint: str = "") -> None:
        super().__init__(checkpoint=checkpoint)


class StSedOwn(StSedSmall):
    """An ST-SED under a detector of its own.

    Args:
        checkpoint: stsed.safetensors.
    """

    card = _card(StSedSmall.card, "stsed-own", "stsed")

    def __init__(self, *, checkpoint: str = "") -> None:
        super().__init__(checkpoint=checkpoint)
