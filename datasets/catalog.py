"""Built-in datasets by name. Targets are text until a dataset is asked for."""

from __future__ import annotations

CATALOG: dict[str, str] = {
    "audiocaps": "sepbench.datasets.audiocaps:AudioCaps",
    "audioset": "sepbench.datasets.audioset:AudioSet",
    "audioset-eval": "sepbench.datasets.audioset_eval:AudioSetEval",
    "clotho": "sepbench.datasets.clotho:Clotho",
    "dcase2024-task9": "sepbench.datasets.dcase2024_task9:Dcase2024Task9",
    "demo": "sepbench.datasets.demo_set:Demo",
    "esc50": "sepbench.datasets.esc50:Esc50",
    "folder": "sepbench.datasets.folder:Folder",
    "musdb18": "sepbench.datasets.musdb18:Musdb18",
    "music": "sepbench.datasets.music:Music",
    "vggsound": "sepbench.datasets.vggsound:VggSound",
    "voicebank-demand": "sepbench.datasets.voicebank_demand:VoiceBankDemand",
}
