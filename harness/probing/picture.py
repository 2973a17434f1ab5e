"""A space of embeddings as a picture: t-SNE or UMAP in two dimensions, one colour a class.

A picture shows neighbourhoods; distances between groups mean nothing in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sepbench.harness.errors import BenchError, MissingExtraError, NotApplicableError

if TYPE_CHECKING:
    import numpy.typing as npt

    Vectors = npt.NDArray[np.float32]
    Floats = npt.NDArray[np.float64]

Projection: TypeAlias = Literal["tsne", "umap"]
NAMES: dict[Projection, str] = {"tsne": "t-SNE", "umap": "UMAP"}
FEATURE = "A picture of a query space"

SEED = 20260101
PERPLEXITY = 30.0
NEIGHBOURS = 15  # umap-learn's own default
FEWEST_CLIPS = 5
MOST_IN_LEGEND = 20


def project(vectors: Vectors, projection: Projection, *, seed: int = SEED) -> Floats:
    """Points (N, 2) for vectors (N, D), compared by direction. Same input, same picture.

    Raises:
        NotApplicableError: fewer than five vectors.
        MissingExtraError: scikit-learn, or umap-learn, is not installed.
    """
    if len(vectors) < FEWEST_CLIPS:
        raise NotApplicableError(f"A picture needs {FEWEST_CLIPS} clips; there are {len(vectors)}.")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = vectors / np.where(lengths > 0, lengths, 1.0)
    with warnings.catch_warnings():
        # UMAP says what else could be installed, and that a seed costs it its threads.
        warnings.simplefilter("ignore")
        model = _umap(len(unit), seed) if projection == "umap" else _tsne(len(unit), seed)
        points: Floats = np.asarray(model.fit_transform(unit), np.float64)
    return points


def _tsne(count: int, seed: int) -> Any:
    try:
        from sklearn.manifold import TSNE
    except ModuleNotFoundError:
        raise MissingExtraError(FEATURE, "scikit-learn", "probe") from None
    # Random and not PCA at the start: equal vectors have no principal axes.
    return TSNE(perplexity=min(PERPLEXITY, (count - 1) / 3), init="random", random_state=seed)


def _umap(count: int, seed: int) -> Any:
    try:
        umap = import_module("umap")
    except ModuleNotFoundError:
        raise MissingExtraError(f"{FEATURE} by UMAP", "umap-learn", "umap") from None
    # The spectral start solves for eigenvectors, which very few points do not have.
    start = "spectral" if count > NEIGHBOURS else "random"
    return umap.UMAP(
        n_neighbors=min(NEIGHBOURS, count - 1), init=start, random_state=seed, n_jobs=1
    )


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
    classes = sorted(set(labels))
    few = len(classes) <= MOST_IN_LEGEND
    figure, colormaps = new_figure(8, 6)
    colours = colormaps["tab10" if len(classes) <= 10 else "tab20" if few else "hsv"]
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
    save(figure, path)


def new_figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure of so many inches that asks for no display, and matplotlib's colour maps.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib import colormaps
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("A picture", "matplotlib", "probe") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, colormaps


def save(figure: Any, path: Path) -> None:
    """A figure as PNG.

    Raises:
        BenchError: the file cannot be written.
    """
    try:
        figure.savefig(path, dpi=120, metadata={"Software": None})
    except OSError as error:
        raise BenchError(f"{path} cannot be written: {error.strerror or error}.") from error
