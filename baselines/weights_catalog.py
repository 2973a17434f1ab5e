"""Where every checkpoint and tokenizer comes from: one table, nothing imported or fetched.

Sizes and sums are those the publisher's pages or public records state for the pinned revision; a
file fetched from there has to match them. Where none is stated, the layout alone is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsFile:
    """One file of an entry.

    Attributes:
        path: in the repository.
        saved_as: the name it has when installed; "" for the last part of the path.
        size: bytes, where published.
        sha256: hexadecimal, where published.
    """

    path: str
    saved_as: str = ""
    size: int | None = None
    sha256: str | None = None

    @property
    def name(self) -> str:
        """What the file is called when it is installed."""
        return self.saved_as or PurePosixPath(self.path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsEntry:
    """A checkpoint file or a tokenizer folder that baselines ask for by name.

    Attributes:
        kind: a checkpoint is one file, a tokenizer a folder.
        files: what belongs to it; a checkpoint has exactly one.
        check: "module:function"; the function takes the path, returns one line about what it
            found, and raises CheckpointError where the layout does not fit.
        repository: on the Hugging Face hub; "" where no public download is known.
        space: the repository is a Space, not a model.
        revision: commit, or a branch where no commit is known to hold the file.
        needs: other entries without which this one is of no use.
        by_hand: how else to come by it.
    """

    name: str
    summary: str
    kind: Literal["checkpoint", "tokenizer"]
    files: tuple[WeightsFile, ...]
    check: str
    repository: str = ""
    space: bool = False
    revision: str = "main"
    licence: str = ""
    needs: tuple[str, ...] = ()
    by_hand: str = ""

    @property
    def size(self) -> int | None:
        """Bytes of all files, where published for all."""
        sizes = [file.size for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def source(self) -> str:
        """Where it comes from, in one word: the repository, or that there is none."""
        space = "spaces/" if self.space else ""
        return f"{space}{self.repository}@{self.revision[:12]}" if self.repository else "by hand"

    def url(self, file: WeightsFile) -> str:
        """The address of a file for a browser; "" without a repository."""
        space = "spaces/" if self.space else ""
        where = f"https://huggingface.co/{space}{self.repository}/resolve/{self.revision}/"
        return where + file.path if self.repository else ""


_AUDIOSEP = "sepbench.baselines.audiosep.layout:check"
_ENCODERS = "sepbench.baselines.encoders"
_TOKENIZERS = f"{_ENCODERS}.tokenizers"
_STSED_BY_HAND = "linked from the readme of the authors of arXiv 2112.07891, on a file-sharing site"

_ENTRIES = (
    WeightsEntry(
        name="lassnet",
        summary="LASS-Net: BERT-mini and a U-Net, 32 kHz",
        kind="checkpoint",
        files=(WeightsFile(path="LASSNet.pt"),),
        check="sepbench.baselines.lassnet.layout:check",
        needs=("bert-base-uncased",),
        by_hand="it is on no hub; the authors of arXiv 2203.15147 give it from their page",
    ),
    WeightsEntry(
        name="audiosep-clap",
        summary="AudioSep after 4 M steps, its frozen CLAP included, 32 kHz",
        kind="checkpoint",
        files=(
            WeightsFile(
                path="checkpoint/audiosep_base_4M_steps.ckpt",
                size=1_264_844_076,
                sha256="f8cda01bfd0ebd141eef45d41db7a3ada23a56568465840d3cff04b8010ce82c",
            ),
        ),
        check=_AUDIOSEP,
        repository="Audio-AGI/AudioSep",
        space=True,
        revision="5638854dccfaea5c5fa4f634c00fe74fbb119244",
        licence="code MIT; none stated for the weights",
        needs=("roberta-base",),
    ),
    WeightsEntry(
        name="audiosep-hive",
        summary="AudioSep trained again on the Hive data (arXiv 2601.22599)",
        kind="checkpoint",
        files=(
            WeightsFile(
                path="audiosep_hive.ckpt",
                size=1_264_846_755,
                sha256="a13fff5fa4ece1a8bc13e42e1c7b8d90e21603075302ca89e4339c9471973300",
            ),
        ),
        check=_AUDIOSEP,
        repository="AlayaLab/AudioSep-hive",  # the sum pins the file; no commit is known
        licence="Apache-2.0",
        needs=("roberta-base",),
    ),
    WeightsEntry(
        name="audiosep-clip",
        summary="AudioSep's separator with the CLIP ViT-B/32 text tower",
        kind="checkpoint",
        files=(WeightsFile(path="audiosep_clip.ckpt"),),
        check=_AUDIOSEP + "_alone",
        needs=("clip-vit-b32", "clip-vit-b32-tokenizer"),
        by_hand="no weights are public: train them, in AudioSep's layout with the keys ss_model.…",
    ),
    WeightsEntry(
        name="clap",
        summary="LAION-CLAP, HTSAT-base and RoBERTa-base, music + speech + AudioSet",
        kind="checkpoint",
        files=(
            WeightsFile(
                path="music_speech_audioset_epoch_15_esc_89.98.pt",
                size=2_352_471_003,
                sha256="51c68f12f9d7ea25fdaaccf741ec7f81e93ee594455410f3bca4f47f88d8e006",
            ),
        ),
        check="sepbench.baselines.encoders.clap:check",
        repository="lukewys/laion_clap",
        revision="4226474e38defca6fc9272a7848bb7b0355ccd7a",
        licence="CC0-1.0",
        needs=("roberta-base",),
    ),
    WeightsEntry(
        name="clip-vit-b32",
        summary="OpenAI CLIP ViT-B/32; the text tower is what is used",
        kind="checkpoint",
        files=(
            WeightsFile(
                path="pytorch_model.bin",
                saved_as="clip-vit-b32.bin",
                size=605_247_071,
                sha256="a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
            ),
        ),
        check="sepbench.baselines.encoders.clip:check",
        repository="openai/clip-vit-base-patch32",
        revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        licence="MIT (code); none stated for the weights",
        needs=("clip-vit-b32-tokenizer",),
    ),
    WeightsEntry(
        name="clip-vit-b32-tokenizer",
        summary="CLIP's byte pairs, 49,408 entries",
        kind="tokenizer",
        files=(
            WeightsFile(
                path="tokenizer.json",
                size=2_224_041,
                sha256="b556ac8c99757ffb677208af34bc8c6721572114111a6e0aaf5fa69ff0b8d842",
            ),
            WeightsFile(path="tokenizer_config.json", size=592),
            WeightsFile(path="special_tokens_map.json", size=389),
            WeightsFile(
                path="vocab.json",
                size=862_328,
                sha256="5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363",
            ),
            WeightsFile(
                path="merges.txt",
                size=524_657,
                sha256="f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85",
            ),
        ),
        check=f"{_TOKENIZERS}:check_clip",
        repository="openai/clip-vit-base-patch32",
        revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
        licence="MIT",
    ),
    WeightsEntry(
        name="bert-base-uncased",
        summary="BERT's word pieces in lower case, 30,522 entries",
        kind="tokenizer",
        files=(
            WeightsFile(path="tokenizer.json"),
            WeightsFile(path="tokenizer_config.json"),
            WeightsFile(
                path="vocab.txt",
                size=231_508,
                sha256="07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
            ),
        ),
        check=f"{_TOKENIZERS}:check_bert",
        repository="google-bert/bert-base-uncased",
        revision="86b5e0934494bd15c9632b12f734a8a67f723594",
        licence="Apache-2.0",
    ),
    WeightsEntry(
        name="roberta-base",
        summary="RoBERTa's byte pairs, 50,265 entries",
        kind="tokenizer",
        files=(
            WeightsFile(
                path="tokenizer.json",
                sha256="847bbeab6174d66a88898f729d52fa8d355fafe1bea101cf960dd404581df70e",
            ),
            WeightsFile(path="tokenizer_config.json"),
            WeightsFile(
                path="vocab.json",
                size=898_823,
                sha256="9e7f63c2d15d666b52e21d250d2e513b87c9b713cfa6987a82ed89e5e6e50655",
            ),
            WeightsFile(
                path="merges.txt",
                size=456_318,
                sha256="1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
            ),
        ),
        check=f"{_TOKENIZERS}:check_roberta",
        repository="FacebookAI/roberta-base",
        revision="e2da8e2f811d1448a5b465c236feacd80ffbac7b",
        licence="MIT",
    ),
    WeightsEntry(
        name="cnn14",
        summary="CNN14 of PANNs at 32 kHz, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="Cnn14_mAP=0.431.pth"),),
        check=f"{_ENCODERS}.cnn14:check",
        licence="code MIT; for the weights see their record",
        by_hand="Zenodo record 3987831, which no pull reaches",
    ),
    WeightsEntry(
        name="cnn14-16k",
        summary="CNN14 of PANNs at 16 kHz, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="Cnn14_16k_mAP=0.438.pth"),),
        check=f"{_ENCODERS}.cnn14:check_16k",
        licence="code MIT; for the weights see their record",
        by_hand="Zenodo record 3987831, which no pull reaches",
    ),
    WeightsEntry(
        name="vggish",
        summary="VGGish, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="vggish-10086976.pth"),),
        check=f"{_ENCODERS}.vggish:check",
        licence="Apache-2.0",
        by_hand="release v0.1 of harritaylor/torchvggish on GitHub, which no pull reaches",
    ),
    WeightsEntry(
        name="vggish-pca",
        summary="VGGish's whitening, for its 8-bit output",
        kind="checkpoint",
        files=(WeightsFile(path="vggish_pca_params-970ea276.pth"),),
        check=f"{_ENCODERS}.vggish:check_pca",
        licence="Apache-2.0",
        needs=("vggish",),
        by_hand="release v0.1 of harritaylor/torchvggish on GitHub, which no pull reaches",
    ),
    WeightsEntry(
        name="ast",
        summary="AST fine-tuned on AudioSet, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="model.safetensors", saved_as="ast.safetensors"),),
        check=f"{_ENCODERS}.ast:check",
        repository="MIT/ast-finetuned-audioset-10-10-0.4593",
        revision="f826b80d28226b62986cc218e5cec390b1096902",
        licence="BSD-3-Clause",
    ),
    WeightsEntry(
        name="wav2vec2",
        summary="wav2vec 2.0 large of VoxPopuli, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="pytorch_model.bin", saved_as="wav2vec2-large.bin"),),
        check=f"{_ENCODERS}.wav2vec2:check",
        repository="facebook/wav2vec2-large-100k-voxpopuli",
        revision="356d3601347971f29d011cc18a99b2feff4eb376",
        licence="CC-BY-NC-4.0",
    ),
    WeightsEntry(
        name="wav2vec2-base",
        summary="wav2vec 2.0 base, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="pytorch_model.bin", saved_as="wav2vec2-base.bin"),),
        check=f"{_ENCODERS}.wav2vec2:check_base",
        repository="facebook/wav2vec2-base",
        revision="0b5b8e868dd84f03fd87d01f9c4ff0f080fecfe8",
        licence="Apache-2.0",
    ),
    WeightsEntry(
        name="wav2clip",
        summary="Wav2CLIP, a query encoder in CLIP's space",
        kind="checkpoint",
        files=(WeightsFile(path="Wav2CLIP.pt"),),
        check=f"{_ENCODERS}.wav2clip:check",
        licence="MIT",
        by_hand="release v0.1.0-alpha of descriptinc/lyrebird-wav2clip, which no pull reaches",
    ),
    WeightsEntry(
        name="audiomae",
        summary="Audio-MAE ViT-B, pre-trained or fine-tuned, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="pretrained.pth", saved_as="audiomae.pth"),),
        check=f"{_ENCODERS}.audiomae:check",
        licence="CC-BY-NC-4.0",
        by_hand="linked from the readme of facebookresearch/AudioMAE, on a file-sharing site",
    ),
    WeightsEntry(
        name="passt",
        summary="PaSST-S trained on AudioSet, a query encoder",
        kind="checkpoint",
        files=(WeightsFile(path="passt-s-f128-p16-s10-ap.476-swa.pt"),),
        check=f"{_ENCODERS}.passt:check",
        licence="code Apache-2.0; none stated for the weights",
        by_hand="release v0.0.1-audioset of kkoutini/PaSST on GitHub, which no pull reaches",
    ),
    WeightsEntry(
        name="htsat",
        summary="HTS-AT with a 2048-d latent, ST-SED's sound event detector, 32 kHz",
        kind="checkpoint",
        files=(WeightsFile(path="htsat_audioset_2048d.ckpt"),),
        check="sepbench.baselines.stsed.layout:check_sed",
        licence="none stated for the weights",
        by_hand=_STSED_BY_HAND,
    ),
    WeightsEntry(
        name="stsed",
        summary="ST-SED's separator, trained on all classes of AudioSet, 32 kHz",
        kind="checkpoint",
        files=(WeightsFile(path="zeroshot_asp_full.ckpt"),),
        check="sepbench.baselines.stsed.layout:check_separator",
        licence="none stated for the weights",
        needs=("htsat",),
        by_hand=_STSED_BY_HAND,
    ),
    WeightsEntry(
        name="stsed-held-out",
        summary="ST-SED's separator, trained without ten classes of AudioSet",
        kind="checkpoint",
        files=(WeightsFile(path="zeroshot_asp_held_out.ckpt"),),
        check="sepbench.baselines.stsed.layout:check_separator",
        licence="none stated for the weights",
        needs=("htsat",),
        by_hand=_STSED_BY_HAND,
    ),
    WeightsEntry(
        name="stsed-cnn14",
        summary="ST-SED's separator, trained with CNN14 in the detector's place",
        kind="checkpoint",
        files=(WeightsFile(path="stsed_cnn14.ckpt"),),
        check="sepbench.baselines.stsed.layout:check_separator",
        needs=("cnn14",),
        by_hand="no weights are public: train them with bench train stsed network.detector=cnn14",
    ),
    WeightsEntry(
        name="unet-tag",
        summary="U-Net asked with a class, 32 kHz",
        kind="checkpoint",
        files=(WeightsFile(path="unet_tag.safetensors"),),
        check="sepbench.baselines.unet_tag.adapter:check",
        by_hand="no weights are public: train them with bench train unet-tag",
    ),
)

WEIGHTS: Mapping[str, WeightsEntry] = {entry.name: entry for entry in _ENTRIES}
