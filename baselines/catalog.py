"""The built-in baselines: name -> "module:class". Nothing is imported until a name is used."""

from __future__ import annotations

CATALOG = {
    "mixture": "sepbench.baselines.bounds:Mixture",
    "oracle-irm": "sepbench.baselines.oracle:IdealRatioMask",
    "oracle-ibm": "sepbench.baselines.oracle:IdealBinaryMask",
    "oracle-mwf": "sepbench.baselines.oracle:MultichannelWiener",
    "nmf": "sepbench.baselines.nmf:QueryNmf",
}
