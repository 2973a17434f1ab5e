"""Keeps the frequency band that a word of the query suggests. No learning, no weights."""

import torch

from sepbench.harness import BaselineCard

BANDS = {"dog": (300, 6000), "sneez": (800, 12000), "helicopter": (20, 1500), "sea": (20, 3000)}


class KeywordBand:
    card = BaselineCard(
        name="keyword-band",
        summary="the band a word suggests, everything else removed",
        query_kinds=("text", "label"),
        sample_rate=32000,
    )

    def load(self, device):
        self.device = device

    def condition(self, queries):
        named = [next((b for word, b in BANDS.items() if word in q.words), None) for q in queries]
        return [torch.tensor(band or (0, 16000), device=self.device) for band in named]

    def separate(self, mixture, condition):
        low, high = condition[:, 0, None, None], condition[:, 1, None, None]
        hertz = torch.fft.rfftfreq(mixture.shape[-1], 1 / 32000, device=self.device)
        kept = torch.fft.rfft(mixture) * ((hertz >= low) & (hertz <= high))
        return torch.fft.irfft(kept, n=mixture.shape[-1])
