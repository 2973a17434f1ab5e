"""The built-in baselines, and the steps that may follow any of them: name -> "module:class".

Nothing is imported until a name is used.
"""

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
    "stsed-cnn14": "sepbench.baselines.stsed.cnn14:StSedCnn14",
    "unet-tag": "sepbench.baselines.unet_tag.adapter:UNetTag",
    "lassnet-own": "sepbench.baselines.small.own:LassNetOwn",
    "audiosep-own": "sepbench.baselines.small.own:AudioSepOwn",
    "stsed-own": "sepbench.baselines.small.own:StSedOwn",
    "lassnet-small": "sepbench.baselines.small.lassnet:LassNetSmall",
    "audiosep-small": "sepbench.baselines.small.audiosep:AudioSepSmall",
    "stsed-small": "sepbench.baselines.small.stsed:StSedSmall",
    "unet-tag-small": "sepbench.baselines.unet_tag.adapter:UNetTagSmall",
}

# What `bench train` can train; `harness/configs/recipe` says with what.
RECIPES = {
    "lassnet": "sepbench.baselines.lassnet.recipe:LassNetRecipe",
    "audiosep": "sepbench.baselines.audiosep.recipe:AudioSepRecipe",
    "contrastive": "sepbench.baselines.small.contrastive_recipe:ContrastiveRecipe",
    "stsed": "sepbench.baselines.stsed.recipe:SeparatorRecipe",
    "stsed-sed": "sepbench.baselines.stsed.recipe:DetectorRecipe",
    "unet-tag": "sepbench.baselines.unet_tag.recipe:UNetTagRecipe",
}

POSTPROCESSES = {
    "joint-wiener": "sepbench.baselines.stsed.wiener:JointWiener",
}
