"""How AudioSep is trained and written: published sizes as its checkpoint, others with theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sepbench.baselines.audiosep.frozen import FrozenClap, FrozenClip, FrozenPair
from sepbench.baselines.checks import NetworkSettings
from sepbench.baselines.small.contrastive_recipe import sized_pair
from sepbench.baselines.small.files import SizedFile, write_sized
from sepbench.harness.api.training import Placing, RecipeFacts, Task
from sepbench.harness.errors import SettingError

if TYPE_CHECKING:
    from torch import nn

NAME = "audiosep"
Frozen: TypeAlias = FrozenClap | FrozenClip | FrozenPair
ENCODERS: Mapping[str, Callable[[str | None, str | None], Frozen]] = {
    "clap": FrozenClap,
    "clip": FrozenClip,
    "contrastive": FrozenPair,
}


class AudioSepRecipe:
    """The separator under a frozen query encoder.

    Args:
        widths: channels of each encoder block.
        n_fft: frame length in samples.
        hop: samples between frames.
        encoder: "clap", "clip", or "contrastive" for a pair of the recipe of that name.
        encoder_checkpoint: its file; None for the installed one ("contrastive" has none).
        tokenizer: folder of its tokenizer's files; None for the installed one.
        text_ratio: share of examples that are asked with their text, the others with a sound.
        vector_ratio: of the others, the share that is asked with the embedding from data.vectors.
    """

    task: Task = "separate"

    def __init__(
        self,
        *,
        widths: Sequence[int],
        n_fft: int,
        hop: int,
        encoder: Literal["clap", "clip", "contrastive"],
        encoder_checkpoint: str | None,
        tokenizer: str | None,
        text_ratio: float,
        vector_ratio: float,
    ) -> None:
        if encoder not in ENCODERS:
            raise SettingError(f"network.encoder={encoder}; one of {', '.join(ENCODERS)}.")
        given = NetworkSettings(NAME)
        self.widths = given.sizes("widths", widths)
        self.n_fft = given.frame(n_fft, widths=self.widths, multiple=2 ** (len(self.widths) + 1))
        self.hop = given.whole_number("hop", hop, low=1, high=self.n_fft // 2)
        self.text_ratio = given.number("text_ratio", text_ratio, low=0.0, high=1.0)
        self.vector_ratio = given.number("vector_ratio", vector_ratio, low=0.0, high=1.0)
        if self.vector_ratio and self.text_ratio == 1:
            raise SettingError(
                f"network.vector_ratio={self.vector_ratio:g} is a share of the examples that are "
                "not asked with their text, and network.text_ratio=1 leaves none. Lower it."
            )
        self.encoder = ENCODERS[encoder](encoder_checkpoint, tokenizer)

    def network(self, facts: RecipeFacts) -> nn.Module:
        """As `Recipe.network`.

        Raises:
            SettingError: no file of vectors where they are to be asked with, or of another space;
                or an encoder that hears at another rate or knows no word of a text, sizes that
                could not be written, or examples shorter than half a frame.
        """
        from sepbench.baselines.audiosep.network import NetworkConfig, ResUNet30
        from sepbench.baselines.audiosep.network_training import AudioSepTraining

        self.encoder.load(facts.sample_rate, hears=self.text_ratio < 1 and self.vector_ratio < 1)
        if isinstance(self.encoder, FrozenPair) and self.text_ratio:
            self.encoder.refuse_unknown(facts.texts)
        if self.vector_ratio and facts.vector != self.encoder.dimension:
            raise SettingError(
                f"network.vector_ratio={self.vector_ratio:g} needs data.vectors with embeddings of "
                f"{self.encoder.dimension} numbers; there are {facts.vector}."
            )
        config = NetworkConfig(
            widths=self.widths,
            condition=self.encoder.dimension,
            sample_rate=facts.sample_rate,
            n_fft=self.n_fft,
            hop=self.hop,
        )
        if config != NetworkConfig() and not isinstance(self.encoder, FrozenPair):
            raise SettingError(
                "AudioSep of other sizes than the published ones (network.widths, n_fft, hop; "
                "data.sample_rate=32000) is written together with a contrastive pair only: "
                "network.encoder=contrastive."
            )
        NetworkSettings(NAME).refuse_length(facts, shortest=config.min_samples)
        return AudioSepTraining(
            ResUNet30(config),
            self.encoder,
            text_ratio=self.text_ratio,
            vector_ratio=self.vector_ratio,
        )

    def placing(self, network: nn.Module) -> Placing | None:
        """None: cut at random."""
        return None

    def write(self, network: nn.Module, folder: Path, facts: Mapping[str, Any]) -> list[Path]:
        """audiosep.ckpt (or audiosep_clip.ckpt) for the published sizes, else audiosep.safetensors.

        The file holds the query encoder too, as the published one does; CLIP's does not.
        """
        import torch

        from sepbench.baselines.audiosep.network_training import AudioSepTraining, published_state

        if not isinstance(network, AudioSepTraining):
            raise TypeError(f"{type(network).__name__} is not what this recipe has made")
        made, encoder = network.network, self.encoder
        if isinstance(encoder, FrozenPair):
            pair = sized_pair(encoder.pair, encoder.vocabulary, {})
            state = {f"separator.{name}": value for name, value in made.state_dict().items()}
            state |= {f"encoder.{name}": value for name, value in pair.state.items()}
            held = SizedFile(
                network=NAME,
                sizes={"separator": asdict(made.config), "encoder": pair.sizes},
                names=pair.names,
                facts=facts,
                state=state,
            )
            return [write_sized(folder / "audiosep.safetensors", held)]
        path = folder / ("audiosep.ckpt" if encoder.state else "audiosep_clip.ckpt")
        torch.save({"state_dict": published_state(made, encoder.state)}, path)
        return [path]
