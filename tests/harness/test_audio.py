from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sepbench.harness.audio import (
    cut_to_common_length,
    read_audio,
    resample,
    resolve_inside,
    to_mono,
    write_wav,
)
from sepbench.harness.errors import (
    AudioFileError,
    AudioMismatchError,
    MissingFileError,
    UnsafePathError,
)

RATE = 16000


def noise(channels: int = 1, length: int = 8000) -> np.ndarray:
    return np.random.default_rng(5).normal(0, 0.1, (channels, length)).astype(np.float32)


def tone(frequency: float, rate: int, seconds: float = 1.0) -> np.ndarray:
    times = np.arange(round(seconds * rate)) / rate
    return np.sin(2 * np.pi * frequency * times, dtype=np.float32)[None]


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, noise().T, RATE, subtype="FLOAT")
    return path


@pytest.fixture
def m4a(tmp_path: Path) -> Path:
    """One second of a full-scale tone as AAC, its index in front of the audio."""
    import av

    path = tmp_path / "tone.m4a"
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        samples = np.ascontiguousarray(tone(440, RATE))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path


@pytest.fixture
def shared() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("SEPBENCH_SHARED", beside)) / "data"
    if not folder.is_dir():
        pytest.skip("no real recordings: set SEPBENCH_SHARED to the folder that holds data/")
    return folder


# --- reading --------------------------------------------------------------------------------


def test_written_samples_come_back_bit_for_bit_even_above_full_scale(tmp_path: Path) -> None:
    samples = noise(2) * 30

    write_wav(tmp_path / "loud.wav", samples, RATE)

    audio = read_audio(tmp_path / "loud.wav")
    np.testing.assert_array_equal(audio.samples, samples)
    assert audio.samples.dtype == np.float32
    assert audio.sample_rate == RATE


def test_digest_is_that_of_the_bytes_read(wav: Path) -> None:
    assert read_audio(wav).sha256 == hashlib.sha256(wav.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 2**-15),
        ("wav", "PCM_24", 2**-23),
        ("flac", "PCM_16", 2**-15),
        ("ogg", "VORBIS", 0.1),
        ("mp3", "MPEG_LAYER_III", 0.2),
    ],
)
def test_formats_are_read_at_full_length(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / f"tone.{suffix}"
    samples = 0.5 * tone(440, RATE)
    soundfile.write(path, samples.T, RATE, subtype=subtype)

    audio = read_audio(path)

    assert audio.samples.shape == samples.shape
    np.testing.assert_allclose(audio.samples, samples, atol=tolerance)


def test_container_is_decoded_to_float(m4a: Path) -> None:
    audio = read_audio(m4a)

    assert audio.sample_rate == RATE
    assert audio.samples.shape[1] >= RATE
    assert float(np.abs(audio.samples).max()) == pytest.approx(1.0, abs=0.1)


def test_container_without_the_wanted_stream_says_how_many_it_has(m4a: Path) -> None:
    with pytest.raises(AudioFileError, match="has 1 audio streams; stream 4 was asked for"):
        read_audio(m4a, stream=4)


def test_channels_are_averaged_on_request(tmp_path: Path) -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)]).astype(np.float32)
    write_wav(tmp_path / "stereo.wav", stereo, RATE)

    audio = read_audio(tmp_path / "stereo.wav", mono=True)

    np.testing.assert_array_equal(audio.samples, np.full((1, 100), 0.125))


def test_file_is_resampled_on_request(wav: Path) -> None:
    audio = read_audio(wav, sample_rate=8000)

    assert audio.samples.shape == (1, 4000)
    assert audio.sample_rate == 8000


# --- refusals -------------------------------------------------------------------------------


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"gone\.wav is missing"):
        read_audio(tmp_path / "gone.wav")


def test_folder_is_no_audio(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match="cannot be read"):
        read_audio(tmp_path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.stem.mp4"])
def test_text_renamed_to_audio_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is no audio\n" * 200)

    with pytest.raises(AudioFileError, match=rf"{name} is not readable as audio"):
        read_audio(tmp_path / name)


@pytest.mark.parametrize("name", ["a.wav", "a.stem.mp4"])
def test_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()

    with pytest.raises(AudioFileError, match=r"is empty \(0 bytes\)"):
        read_audio(tmp_path / name)


def test_file_without_samples_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(length=0), RATE)

    with pytest.raises(AudioFileError, match="holds no samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_sample_that_is_no_number_is_refused(tmp_path: Path, value: float) -> None:
    samples = noise()
    samples[0, 17] = value
    write_wav(tmp_path / "a.wav", samples, RATE)

    with pytest.raises(AudioFileError, match="holds NaN or infinite samples"):
        read_audio(tmp_path / "a.wav", mono=True, sample_rate=8000)


def test_more_channels_than_expected_are_refused_even_for_a_downmix(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(8), RATE)

    with pytest.raises(AudioFileError, match="has 8 channels; at most 2"):
        read_audio(tmp_path / "a.wav", mono=True)
    assert read_audio(tmp_path / "a.wav", max_channels=8).samples.shape[0] == 8


def test_file_too_short_for_the_wanted_rate_is_refused(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", noise(length=1), 48000)

    with pytest.raises(AudioFileError, match="too short: its 1 samples at 48000 Hz"):
        read_audio(tmp_path / "a.wav", sample_rate=8000)


@pytest.mark.parametrize("cut", [1, 100, 4000, 15000])
@pytest.mark.parametrize(
    ("file_format", "subtype"),
    [("WAV", "PCM_16"), ("RF64", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS")],
)
def test_truncated_file_is_refused(
    tmp_path: Path, file_format: str, subtype: str, cut: int
) -> None:
    path = tmp_path / "a.audio"
    soundfile.write(path, noise(length=40000).T, RATE, format=file_format, subtype=subtype)
    assert read_audio(path).samples.shape == (1, 40000)
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(AudioFileError, match=r"truncated|not readable"):
        read_audio(path)


def test_ogg_file_cut_inside_its_last_page_is_refused(tmp_path: Path) -> None:
    # That page's header, with the end-of-stream flag, is still there; libsndfile drops the page.
    path = tmp_path / "a.ogg"
    soundfile.write(path, noise(length=40000).T, RATE, format="OGG", subtype="VORBIS")
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(AudioFileError, match="its last page is cut"):
        read_audio(path)


def test_container_cut_inside_its_audio_is_refused(m4a: Path) -> None:
    whole = m4a.read_bytes()
    m4a.write_bytes(whole[: len(whole) // 2])

    with pytest.raises(AudioFileError, match=r"truncated|not readable"):
        read_audio(m4a)


def with_data_size(path: Path, size: int) -> Path:
    data = bytearray(path.read_bytes())
    position = data.index(b"data") + 4
    data[position : position + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def test_wav_of_a_streaming_writer_that_never_knew_its_size_is_read_whole(wav: Path) -> None:
    assert read_audio(with_data_size(wav, 0xFFFFFFFF)).samples.shape == (1, 8000)


def test_wav_that_says_that_it_holds_nothing_is_not_called_truncated(wav: Path) -> None:
    with pytest.raises(AudioFileError, match="holds no samples"):
        read_audio(with_data_size(wav, 0))


# --- paths ----------------------------------------------------------------------------------


def test_name_below_the_root_is_found(tmp_path: Path) -> None:
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "a, b = 'c'.wav").touch()

    assert resolve_inside(tmp_path, "audio/a, b = 'c'.wav").is_file()
    assert resolve_inside(tmp_path, "audio/../audio/a, b = 'c'.wav").is_file()


@pytest.mark.parametrize("name", ["../a.wav", "audio/../../a.wav", "/etc/hostname", ".."])
def test_name_that_leaves_the_root_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePathError, match="lies outside the dataset's root"):
        resolve_inside(tmp_path, name)


@pytest.mark.parametrize("name", ["a\0.wav", "a" * 5000, "loop"])
def test_name_that_no_file_can_have_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")

    with pytest.raises(UnsafePathError, match="cannot be a file under"):
        resolve_inside(tmp_path, name)


@pytest.mark.parametrize("name", ["gone.wav", "", ".", "folder"])
def test_name_of_no_file_is_missing(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(MissingFileError, match="is missing"):
        resolve_inside(tmp_path, name)


def test_root_may_be_a_link_but_nothing_in_it_may_lead_out(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.wav").touch()
    (tmp_path / "secret.wav").touch()
    (tmp_path / "real" / "leak.wav").symlink_to(tmp_path / "secret.wav")
    (tmp_path / "root").symlink_to(tmp_path / "real")

    assert resolve_inside(tmp_path / "root", "a.wav").is_file()
    with pytest.raises(UnsafePathError, match=r"leak\.wav"):
        resolve_inside(tmp_path / "root", "leak.wav")


# --- samples --------------------------------------------------------------------------------


def test_mono_signal_is_returned_as_it_is() -> None:
    samples = noise()

    assert to_mono(samples) is samples


def test_equal_rates_need_no_resampling() -> None:
    samples = noise()

    assert resample(samples, RATE, RATE) is samples


@pytest.mark.parametrize(("rate_from", "rate_to"), [(44100, 32000), (16000, 48000), (8000, 44100)])
def test_resampled_tone_is_the_tone_at_the_other_rate(rate_from: int, rate_to: int) -> None:
    result = resample(np.tile(tone(440, rate_from), (2, 1)), rate_from, rate_to)

    expected = tone(440, rate_to)
    assert result.shape == (2, rate_to)
    assert result.dtype == np.float32
    middle = slice(rate_to // 10, -rate_to // 10)
    np.testing.assert_allclose(result[0, middle], expected[0, middle], atol=1e-3)
    np.testing.assert_array_equal(result[0], result[1])


def test_round_trip_keeps_what_both_rates_can_hold() -> None:
    samples = tone(440, 16000)

    back = resample(resample(samples, 16000, 44100), 44100, 16000)

    np.testing.assert_allclose(back[:, 1600:-1600], samples[:, 1600:-1600], atol=1e-3)


def test_signals_that_differ_by_padding_are_cut_to_the_shortest() -> None:
    first, second = cut_to_common_length((noise(length=8000), noise(length=8800)), RATE, where="x")

    assert first.shape == second.shape == (1, 8000)


def test_signals_that_differ_by_more_are_refused_with_their_lengths() -> None:
    with pytest.raises(AudioMismatchError, match=r"scene 3: .*\(0\.500 s, 0\.551 s\)"):
        cut_to_common_length((noise(length=8000), noise(length=8816)), RATE, where="scene 3")


def test_all_real_recordings_are_read(shared: Path) -> None:
    names = sorted(path for path in shared.rglob("*") if path.suffix in {".wav", ".mp4"})

    lengths = {path.name: read_audio(path).samples.shape[1] for path in names}

    assert lengths["Music Delta - 80s Rock.stem.mp4"] == 300032
    assert lengths["The Easton Ellises - Falcon 69.stem.mp4"] == 268288
    assert min(lengths.values()) > 30000


@pytest.mark.parametrize("stream", range(5))
def test_real_stem_file_has_five_streams_of_equal_length(shared: Path, stream: int) -> None:
    path = shared / "musdb18" / "train" / "Music Delta - 80s Rock.stem.mp4"

    assert read_audio(path, stream=stream).samples.shape == (2, 300032)


def test_real_stem_file_with_its_end_cut_off_is_refused(shared: Path, tmp_path: Path) -> None:
    # Its index comes first, so the decoder returns what is left without a word.
    whole = (shared / "musdb18" / "train" / "Music Delta - 80s Rock.stem.mp4").read_bytes()
    (tmp_path / "cut.stem.mp4").write_bytes(whole[:-100_000])

    with pytest.raises(AudioFileError, match=r"truncated: 6\.316 of 6\.800 s"):
        read_audio(tmp_path / "cut.stem.mp4")
