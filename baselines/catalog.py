"""The built-in baselines: name -> "module:class". Nothing is imported until a name is used."""

from __future__ import annotations

CATALOG = {
    "mixture": "sepbench.baselines.bounds:Mixture",
    "oracle-irm": "sepbench.baselines.oracle:IdealRatioMask",
    "oracle-ibm": "sepbench.baselines.oracle:IdealBinaryMask",
    "oracle-mwf": "sepbench.baselines.oracle:MultichannelWiener",
    "nmf": "sepbench.baselines.nmf:QueryNmf",
    "lassnet": "sepbench.baselines.lassnet.adapter:LassNet",
    "audiosep-clap": "sepbench.baselines.audiosep.adapter:AudioSepClap",
    "audiosep-hive": "sepbench.baselines.audiosep.adapter:AudioSepHive",
    "audiosep-clip": "sepbench.baselines.audiosep.adapter:AudioSepClip",
    "stsed": "sepbench.baselines.stsed.adapter:StSed",
}
