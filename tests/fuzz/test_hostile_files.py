"""Files made to harm: each is refused by name, at once, and nothing in it is carried out."""

from __future__ import annotations

import struct
import time
import zipfile
from pathlib import Path

import pytest

from sepbench.baselines.checkpoints import read_checkpoint
from sepbench.datasets.folder import Folder
from sepbench.harness.audio import read_audio
from sepbench.harness.errors import (
    AudioFileError,
    BenchError,
    CheckpointError,
    ManifestError,
    SettingError,
)
from sepbench.harness.run.data_manifest import NAME, find_manifest
from sepbench.harness.settings import resolve

# Ten aliases of ten aliases of …: a kilobyte that is a gigabyte when it is written out.
LAUGHS = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
SETTINGS = {
    "aliases of aliases": LAUGHS,
    "aliases inside a model's settings": "models:\n  nmf:\n    " + LAUGHS.replace("\n", "\n    "),
    "a mapping that holds itself": "models: &a {nmf: *a}",
    "a list that holds itself": "model: &a [*a]",
    "brackets without end": "models: " + "{a: " * 2000,
    "levels without end": "models: " + "{a: " * 500 + "1" + "}" * 500,
    "digits without end": "limit: " + "9" * 5000,
    "a day that does not exist": "limit: 2001-13-45",
    "a program": "limit: !!python/object/apply:os.system ['touch canary']",
    "a class": "limit: !!python/name:os.system",
    "no base64": "limit: !!binary zzz",
    "a set": "model: !!set {a, b}",
    "no text": "limit: \udcff",
}
OVERRIDES = {
    "brackets without end": "model=" + "[" * 1000 + "]" * 1000,
    "levels without end": "models.x=" + "{a:" * 400 + "1" + "}" * 400,
    "a name without end": "models." + ".".join("a" * 3000) + "=1",
    "a list without end": "model=[" + ",".join(["a"] * 20000) + "]",
    "digits without end": "limit=" + "9" * 5000,
    "an interpolation of itself": "device=${device}",
    "a resolver of the wrong kind": "device=${oc.decode:1}",
    "another configuration": "hydra.run.dir=/tmp/x",
    "a sweep": "model=glob(*)",
    "half a character": "device=\udc80",
}


@pytest.mark.parametrize("text", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings_made_to_harm_are_refused(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.yaml").write_text(text, "utf-8", "surrogateescape")
    began = time.monotonic()

    with pytest.raises(SettingError, match=r"settings\.yaml"):
        resolve(workspace=tmp_path, environment={})

    assert time.monotonic() - began < 10
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("text", OVERRIDES.values(), ids=OVERRIDES.keys())
def test_overrides_made_to_harm_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError):
        resolve(workspace=tmp_path, overrides=[text], environment={})


@pytest.mark.parametrize("text", ['{"target": ' + "[" * 100000, '{"target": ' + "9" * 5000 + "}"])
def test_a_manifest_made_to_harm_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text(text)
    (tmp_path / NAME).write_text(text.replace("target", "format"))

    with pytest.raises(ManifestError, match="line 1 is no JSON object"):
        Folder(tmp_path).scenes("manifest")
    with pytest.raises(ManifestError, match="cannot be read as a manifest"):
        find_manifest(tmp_path, Folder.card)


def test_a_checkpoint_that_unpacks_to_more_than_it_has_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(50 << 20))

    with pytest.raises(CheckpointError, match=r"unpacks to 52,428,800 bytes.*was not opened"):
        read_checkpoint(tmp_path / "bomb.pt")


def test_a_header_that_announces_terabytes_allocates_none_of_them(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(1000), 16000)
    data = bytearray(path.read_bytes())
    # STREAMINFO: 36 bits of length, after rate, channels and depth.
    (packed,) = struct.unpack_from(">Q", data, 18)
    struct.pack_into(">Q", data, 18, packed | 0xFFFFFFFFF)
    path.write_bytes(data)

    with pytest.raises(AudioFileError, match=r"long\.flac"):
        read_audio(path)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_file_read_in_blocks_is_the_same_as_one_read_at_once(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np
    import soundfile

    noise = 0.1 * np.random.default_rng(0).standard_normal((20000, 2))
    soundfile.write(tmp_path / f"long{suffix}", noise, 16000)
    whole = read_audio(tmp_path / f"long{suffix}")

    monkeypatch.setattr("sepbench.harness.audio.BLOCK", 7001)

    blocks = read_audio(tmp_path / f"long{suffix}")
    # An MP3 decoder's last bit depends on where its output lies in memory.
    np.testing.assert_allclose(blocks.samples, whole.samples, rtol=0, atol=1e-7)
    assert suffix == ".mp3" or np.array_equal(blocks.samples, whole.samples)


def test_a_list_whose_names_no_file_can_have_says_so(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(
        f"target,query,mixture\na.wav,a dog,{'a' * 5000}\n", "utf-8"
    )
    dataset = Folder(tmp_path)
    (row,) = dataset.scenes("manifest")

    with pytest.raises(BenchError, match="cannot be a file under"):
        dataset.load(row, 8000, mono=True)
