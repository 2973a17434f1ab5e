"""What ST-SED costs here: detector and separator, beside a stand-in for the published code.

    python tests/bench/stsed.py [--seconds 10] [--clips 4] [--threads 2] [--rounds 5] [--compile]
                                [--parts separator detector wiener]

The stand-in runs the same network with the same filled weights as the published code does:
eagerly, one mixture at a time, spectra by convolutions with DFT matrices. Ours and the stand-in
take turns, round by round, in one process; times are the medians of the rounds, with the fastest
beside them. Seconds of CPU, of all threads together and of the system for them, tell more than
wall time where others use the machine too. The output are Markdown tables.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden" / "stsed"
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]

from convolution_stft import ConvolutionStft  # noqa: E402
from sepbench_testkit.filled import fill_state_dict, gliding_tones  # noqa: E402

from sepbench.baselines.stsed.encoder import HtsatLatent  # noqa: E402
from sepbench.baselines.stsed.layout import separator_of  # noqa: E402
from sepbench.baselines.stsed.network_separator import Separator  # noqa: E402
from sepbench.baselines.stsed.wiener import joint_wiener, share_out  # noqa: E402

RATE = 32_000
SEED = 1
FLOOR = 1e-10
SHARED_OUT = 8000  # every eighth sample of the stored case's first 2 s


class OriginalSeparator(nn.Module):
    """The published separator's way through a mixture.

    Args:
        network: as it is trained, in eval mode.
    """

    def __init__(self, network: Separator) -> None:
        super().__init__()
        self.network = network
        self.stft = ConvolutionStft(network.config.n_fft, network.config.hop)

    def forward(self, mixture: Tensor, condition: Tensor) -> Tensor:
        """(1, N), (1, D) -> (1, N)."""
        real, imaginary = self.stft(mixture)  # (1, T, K)
        magnitude = (real.square() + imaginary.square()).clamp(min=FLOOR).sqrt()
        cosine, sine = real / magnitude, imaginary / magnitude
        net = self.network
        image = net.bn0(magnitude.transpose(1, 2)[..., None]).permute(0, 3, 2, 1)  # (1, 1, T, K)
        frames = image.shape[2]
        padded = nn.functional.pad(image, (0, 0, 0, -frames % net.config.stride))
        logits = net.logits(padded[..., :-1], condition)
        mask = nn.functional.pad(logits, (0, 1))[:, 0, :frames].sigmoid()
        masked = mask * magnitude
        return self.stft.inverse(masked * cosine, masked * sine, mixture.shape[-1])


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    print(
        f"{options.threads} threads, torch {torch.__version__}, medians of {options.rounds} "
        "rounds (fastest)\n"
    )
    with torch.inference_mode():
        if "separator" in options.parts:
            separator(options)
        if "detector" in options.parts:
            detector(options)
        if "wiener" in options.parts:
            wiener()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0])
    parser.add_argument("--clips", type=int, default=4, help="in a batch of the detector")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also compiled; takes minutes")
    parts = ("separator", "detector", "wiener")
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=parts)
    return parser.parse_args()


def separator(options: argparse.Namespace) -> None:
    """Whole mixtures in one piece."""
    state = fill_state_dict(GOLDEN / "separator_state_dict.json", SEED)
    original = OriginalSeparator(separator_of(state, "filled weights")).eval()
    ours = separator_of(state, "filled weights")
    ours.prepare()
    compiled = separator_of(state, "filled weights") if options.compile else None
    if compiled is not None:
        compiled.prepare()
        compiled.logits = torch.compile(compiled.logits, dynamic=False)
    del state
    condition = torch.randn(1, 2048, generator=torch.Generator().manual_seed(SEED))
    print(
        "| separator | variant | s | times faster | CPU s | times less CPU | largest difference |\n"
        "| ---: | --- | ---: | ---: | ---: | ---: | ---: |"
    )
    for seconds in options.seconds:
        mixture = torch.from_numpy(gliding_tones(1, 1, round(seconds * RATE), RATE))
        runs: dict[str, Callable[[], Tensor]] = {
            "published code's way": lambda m=mixture: original(m, condition),
            "ours": lambda m=mixture: ours(m, condition),
        }
        if compiled is not None:
            runs["ours, compiled"] = lambda m=mixture: compiled(m, condition)
        answers, times = in_turns(runs, options.rounds)
        first = answers["published code's way"]
        base = [
            statistics.median(kind) for kind in zip(*times["published code's way"], strict=True)
        ]
        for name, found in times.items():
            wall, cpu = zip(*found, strict=True)
            medians = statistics.median(wall), statistics.median(cpu)
            worst = float((answers[name] - first).abs().max())
            print(
                f"| {seconds:g} s | {name} | {medians[0]:.2f} ({min(wall):.2f}) "
                f"| {base[0] / medians[0]:.2f} | {medians[1]:.2f} ({min(cpu):.2f}) "
                f"| {base[1] / medians[1]:.2f} | {worst:.1e} |",
                flush=True,
            )


def detector(options: argparse.Namespace) -> None:
    """Latents of 10-s clips, whole and in the segments that a query is made of."""
    encoder = HtsatLatent(at_once=options.clips)
    encoder.load_state(fill_state_dict(GOLDEN / "sed_state_dict.json", SEED), "cpu")
    clips = torch.from_numpy(gliding_tones(2, options.clips, 10 * RATE, RATE))
    segments = clips[:, : 2 * RATE]
    runs: dict[str, Callable[[], Tensor]] = {
        "10 s, one by one": lambda: torch.cat([encoder.detect(c[None]).latent for c in clips]),
        f"10 s, batches of {options.clips}": lambda: encoder.detect(clips).latent,
        f"2-s segments, batches of {options.clips}": lambda: encoder.encode_audio(list(segments)),
    }
    _, times = in_turns(runs, options.rounds)
    print("\n| detector | s a clip | CPU s a clip |\n| --- | ---: | ---: |")
    for name, found in times.items():
        wall, cpu = ([each / options.clips for each in kind] for kind in zip(*found, strict=True))
        print(
            f"| {name} | {statistics.median(wall):.2f} ({min(wall):.2f}) "
            f"| {statistics.median(cpu):.2f} ({min(cpu):.2f}) |"
        )


def wiener() -> None:
    """The joint Wiener step against the original's stored case: from its magnitudes, and ours."""
    network = separator_of(fill_state_dict(GOLDEN / "separator_state_dict.json", SEED), "filled")
    network.prepare()
    with np.load(GOLDEN / "golden.npz") as file:
        expected = torch.from_numpy(file["wiener_every8"])[:, :SHARED_OUT]
    length = 8 * SHARED_OUT
    mixture = torch.from_numpy(gliding_tones(18, 2, 233_600, RATE)).mean(0)[None, :length]
    spectrum = network.spectrum(mixture)
    conditions = [np.random.RandomState(seed).standard_normal(2048) for seed in (21, 22, 23, 24)]
    masks = [
        network.mask(spectrum.abs(), torch.from_numpy(each).float()[None]) for each in conditions
    ]
    magnitudes = torch.stack([mask * spectrum.abs() for mask in masks])  # (4, 1, K, T)
    waveforms = torch.stack([network.waveform(mask * spectrum, length) for mask in masks])
    found = {
        "masked magnitudes, as the original": network.waveform(
            share_out(spectrum, magnitudes)[:, 0], length
        ),
        "waveforms, as of any model": joint_wiener(mixture, waveforms)[:, 0],
    }
    print("\n| joint Wiener step, from | error below the original, dB |\n| --- | ---: |")
    for name, stems in found.items():
        error = (stems[:, ::8] - expected).square().sum() / expected.square().sum()
        print(f"| {name} | {-10 * float(error.log10()):.0f} |")


def in_turns(
    runs: dict[str, Callable[[], Tensor]], rounds: int
) -> tuple[dict[str, Tensor], dict[str, list[tuple[float, float]]]]:
    """What each gives in a first call, and the seconds, wall and CPU, of those that follow."""
    answers = {name: run() for name, run in runs.items()}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            started = time.perf_counter(), time.process_time()
            run()
            ended = time.perf_counter(), time.process_time()
            times[name].append((ended[0] - started[0], ended[1] - started[1]))
    return answers, times


if __name__ == "__main__":
    main()
