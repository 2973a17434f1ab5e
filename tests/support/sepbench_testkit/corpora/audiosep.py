"""Tiny copies of AudioSep's evaluation folders: a few true rows of each list, one-second mixtures.

Lists are written as they are distributed: CRLF, the header of Clotho's with one name twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

RATE = 32000

# Rows of the published lists: file names begin with "-", captions and labels hold commas.
AUDIOCAPS = (
    "idx,caption,labels,src_wav,noise_wav",
    '0,Constant rattling noise and sharp vibrations,"Speech Sewing machine Inside, public space",'
    "Y7fmOlUlwoNg.wav,Y-aYumc8KoXg.wav",
    '4,"Food is frying, and a woman talks",Speech Frying (food),YVjSEIRnLAh8.wav,YBn4lc01q9vE.wav',
    '102,A cat meows and a woman speaks,"Cat Domestic animals, pets Meow Speech Animal",'
    "Y-NsC63dA01g.wav,YLF6x7B0Ppvo.wav",
    "209,A bell is ringing,Bell,Y-DmjkgWa-rw.wav,YyLu4b01t53k.wav",
)
# Commas in file names; the second caption ends with a blank.
CLOTHO = (
    "idx,caption,src_wav,noise_wav1,noise_wav1",
    "0,A machine whines and squeals while rhythmically punching or stamping.,Santa Motor.wav,"
    '"09-07-14_2338_Foz, fisherman next to the river.wav",radiater-machine air and hum.wav',
    "1554,Someone reaches into a bag of glass beads and uses it. ,Pulley Sounds.wav,"
    "restaurant wood floor.wav,Coins Moving in Jar.wav",
)


def write_list(path: Path, lines: Sequence[str]) -> Path:
    """A list with CRLF line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\r\n" for line in lines).encode())
    return path


def write_premixed(folder: Path, numbers: Sequence[int]) -> Path:
    """`segment-{n}.wav` and `mixture-{n}.wav`, the mixture being target and noise."""
    for number in numbers:
        write_pair(folder / f"segment-{number}.wav", folder / f"mixture-{number}.wav", number)
    return folder


def write_pair(target: Path, mixture: Path, seed: int, *, seconds: float = 1.0) -> None:
    """A 16-bit tone and its mixture with noise."""
    tone = _tone(seed, seconds)
    noise = 0.05 * np.random.default_rng(seed).standard_normal(len(tone))
    for path, samples in ((target, tone), (mixture, tone + noise)):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, RATE, subtype="PCM_16")


def write_tone(path: Path, seed: int = 0) -> None:
    """A 16-bit tone of a second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, _tone(seed, 1.0), RATE, subtype="PCM_16")


def _tone(seed: int, seconds: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    times = np.arange(round(seconds * RATE)) / RATE
    return 0.2 * np.sin(2 * np.pi * (300 + 10 * (seed % 50)) * times)


def write_audiocaps(root: Path) -> Path:
    """AudioSep's clone: `evaluation/data/audiocaps` and `evaluation/metadata`."""
    write_list(root / "evaluation" / "metadata" / "audiocaps_eval.csv", AUDIOCAPS)
    write_premixed(root / "evaluation" / "data" / "audiocaps", (0, 4, 102, 209))
    return root


def write_clotho(root: Path) -> Path:
    """The corpus's own folder, the list beside the audio."""
    write_list(root / "clotho_eval.csv", CLOTHO)
    write_premixed(root, (0, 1554))
    return root


def write_music(root: Path) -> Path:
    """The first three mixtures below `data/music`, two solo recordings."""
    write_premixed(root / "data" / "music", (0, 1, 2))
    write_tone(root / "solo" / "acoustic_guitar" / "-aCi6eWXVbg.wav")
    write_tone(root / "solo" / "flute" / "YX4UWEifacwI_6.wav")
    return root


def write_vggsound(root: Path, *, inner: str = "data") -> Path:
    """The first two mixtures, and a table of two training clips of which one is on disk."""
    for pair in (
        "-JUBdOr8Hes_000030+++37Vxf0Wz-3o_000001",
        "-JUBdOr8Hes_000030+++0n-Z2AQCRnU_000385",
    ):
        write_pair(
            root / inner / "s0_wav" / f"{pair}.wav", root / inner / "mix_wav" / f"{pair}.wav", 1
        )
    (root / "vggsound.csv").write_text(
        '--0PQM4-hqg,30,"waterfall, burbling",train\n'
        "---g-f_I2yQ,1,people marching,test\n"
        "-gone_12345,7,people marching,train\n"
    )
    for name in ("--0PQM4-hqg_000030", "---g-f_I2yQ_000001"):
        write_tone(root / f"{name}.wav")
    return root


def write_audioset(root: Path, classes: Sequence[int] = (0, 1), pairs: int = 10) -> Path:
    """`class_id={k}/class_id={k},index={n},{source,mixture}.wav`, and a training clip."""
    for k in classes:
        for n in range(pairs):
            stem = root / f"class_id={k}" / f"class_id={k},index={n:03d}"
            write_pair(
                Path(f"{stem},source.wav"), Path(f"{stem},mixture.wav"), seed=n, seconds=0.05
            )
    (root / "balanced_train_segments.csv").write_text(
        "# Segments csv created Sun Mar  5 10:54:31 2017\n"
        "# num_ytids=2, num_segs=2, num_unique_labels=2, num_positive_labels=3\n"
        "# YTID, start_seconds, end_seconds, positive_labels\n"
        '--4gqARaEJE, 0.000, 10.000, "/m/09x0r,/m/05zppz"\n'
        '--gone_1234, 30.000, 40.000, "/m/09x0r"\n'
    )
    write_tone(root / "balanced_train" / "Y--4gqARaEJE.wav")
    return root
