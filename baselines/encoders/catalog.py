"""The built-in query encoders: name -> "module:class". Nothing is imported until a name is used."""

from __future__ import annotations

CATALOG = {
    "clap-text": "sepbench.baselines.encoders.clap:ClapText",
    "clap-audio": "sepbench.baselines.encoders.clap:ClapAudio",
    "clip-text": "sepbench.baselines.encoders.clip:ClipText",
    "laion-clap-text": "sepbench.baselines.encoders.laion:LaionClapText",
    "laion-clap-audio": "sepbench.baselines.encoders.laion:LaionClapAudio",
    "cnn14": "sepbench.baselines.encoders.cnn14:Cnn14",
    "cnn14-16k": "sepbench.baselines.encoders.cnn14:Cnn14At16k",
    "vggish": "sepbench.baselines.encoders.vggish:VGGish",
    "ast": "sepbench.baselines.encoders.ast:Ast",
    "wav2vec2": "sepbench.baselines.encoders.wav2vec2:Wav2Vec2",
    "wav2vec2-base": "sepbench.baselines.encoders.wav2vec2:Wav2Vec2Base",
    "wav2clip": "sepbench.baselines.encoders.wav2clip:Wav2Clip",
    "audiomae": "sepbench.baselines.encoders.audiomae:AudioMae",
    "htsat": "sepbench.baselines.stsed.encoder:HtsatLatent",
    "passt": "sepbench.baselines.encoders.passt:Passt",
    "contrastive-text": "sepbench.baselines.small.encoders:ContrastiveText",
    "contrastive-audio": "sepbench.baselines.small.encoders:ContrastiveAudio",
    "logmel-stats": "sepbench.baselines.encoders.logmel_stats:LogMelStats",
}
