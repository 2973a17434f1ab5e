"""A space of embeddings as a picture: t-SNE in two dimensions, one colour a class.

A picture shows neighbourhoods; distances between groups mean nothing in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sepbench.harness.errors import BenchError, MissingExtraError, NotApplicableError

if TYPE_CHECKING:
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]

SEED = 20260101
PERPLEXITY = 30.0
FEWEST_CLIPS = 5
MOST_IN_LEGEND = 20


def tsne_points(vectors: Vectors, *, seed: int = SEED) -> Floats:
    """Points (N, 2) for vectors (N, D), compared by direction. Same input, same picture.

    Raises:
        NotApplicableError: fewer than five vectors.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        raise MissingExtraError("A picture of a query space", "scikit-learn", "probe") from None
    if len(vectors) < FEWEST_CLIPS:
        raise NotApplicableError(f"A picture needs {FEWEST_CLIPS} clips; there are {len(vectors)}.")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    # Random and not PCA at the start: equal vectors have no principal axes.
    model = TSNE(perplexity=perplexity, init="random", random_state=seed)
    points: Floats = np.asarray(model.fit_transform(unit), np.float64)
    return points


def draw(path: Path, points: Floats, labels: Sequence[str], title: str) -> None:
    """A scatter plot as PNG.

    Args:
        path: of the file; its folder exists.
        points: (N, 2).
        labels: N classes; up to 20 stand in a legend, more at the middle of their points.
        title: above it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        BenchError: the file cannot be written.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("A picture of a query space", "matplotlib", "probe") from None
    classes = sorted(set(labels))
    few = len(classes) <= MOST_IN_LEGEND
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20" if few else "hsv"]
    figure = Figure(figsize=(8, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    named = np.array(labels, dtype=str)
    for k, name in enumerate(classes):
        mine = points[named == name]
        colour = colours(k if few else k / len(classes))
        axes.scatter(mine[:, 0], mine[:, 1], s=14, color=colour, label=name)
        if not few:
            axes.annotate(name, np.median(mine, axis=0), fontsize=6, ha="center")
    if few:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, frameon=False)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    try:
        figure.savefig(path, dpi=120, metadata={"Software": None})
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error
