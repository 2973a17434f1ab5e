"""Built-in datasets by name. Targets are text until a dataset is asked for."""

from __future__ import annotations

CATALOG: dict[str, str] = {
    "demo": "sepbench.datasets.demo_set:Demo",
    "esc50": "sepbench.datasets.esc50:Esc50",
    "folder": "sepbench.datasets.folder:Folder",
    "musdb18": "sepbench.datasets.musdb18:Musdb18",
    "voicebank-demand": "sepbench.datasets.voicebank_demand:VoiceBankDemand",
}
