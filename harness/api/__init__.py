"""The words of sepbench as types. Imports nothing else of ours, and nothing heavy.

Shapes: B batch, C channels, N samples, Q queries, D embedding. Audio is float32 in [-1, 1]
nominally (never clipped by the harness), NumPy between the stages and torch inside a model.
"""

from sepbench.harness.api.corpora import (
    Dataset,
    DatasetCard,
    FileLister,
    ListCard,
    RemoteFile,
)
from sepbench.harness.api.encoders import (
    AudioEncoder,
    EncoderCard,
    EncoderKind,
    TextEncoder,
)
from sepbench.harness.api.rules import (
    AVERAGES,
    Aggregation,
    QueryRule,
    ScoringProtocol,
)
from sepbench.harness.api.scores import (
    Framewise,
    MetricCard,
    Undefined,
    Value,
)
from sepbench.harness.api.separators import (
    BaselineCard,
    Postprocess,
    PostprocessCard,
    QuerySeparator,
    SceneSeparator,
)
from sepbench.harness.api.words import (
    WITH_EXAMPLES,
    AskedKind,
    Attribute,
    Clip,
    Example,
    Query,
    QueryKind,
    Samples,
    Scene,
    SceneRow,
    TargetRow,
)

__all__ = [
    "AVERAGES",
    "WITH_EXAMPLES",
    "Aggregation",
    "AskedKind",
    "Attribute",
    "AudioEncoder",
    "BaselineCard",
    "Clip",
    "Dataset",
    "DatasetCard",
    "EncoderCard",
    "EncoderKind",
    "Example",
    "FileLister",
    "Framewise",
    "ListCard",
    "MetricCard",
    "Postprocess",
    "PostprocessCard",
    "Query",
    "QueryKind",
    "QueryRule",
    "QuerySeparator",
    "RemoteFile",
    "Samples",
    "Scene",
    "SceneRow",
    "SceneSeparator",
    "ScoringProtocol",
    "TargetRow",
    "TextEncoder",
    "Undefined",
    "Value",
]
