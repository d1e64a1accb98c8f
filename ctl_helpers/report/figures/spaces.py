"""Utterances as points: features or embeddings projected to a plane."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from ctl_helpers.errors import StudyError
from ctl_helpers.report.figures.style import MARKERS, colour_of, panels, styled
from ctl_helpers.results.naming import name_of

_DIMENSIONS_OF_TSNE = 50  # more are first reduced by PCA, as its authors do
_FEWEST_FOR_TSNE = 5


def project(embeddings: ArrayLike, method: str = "tsne", seed: int = 0) -> np.ndarray:
    """Project utterances to a plane.

    Parameters
    ----------
    embeddings
        Shape (utterances, ...); further dimensions are flattened. Standardised per dimension.
    method
        ``"tsne"`` (perplexity 30, less for few utterances; fewer than 5 fall to PCA) or ``"pca"``.
    seed
        Of the random numbers.

    Returns
    -------
    numpy.ndarray
        Shape (utterances, 2).

    Raises
    ------
    StudyError
        For an unknown method or fewer than two utterances.

    References
    ----------
    van der Maaten & Hinton, Visualizing Data using t-SNE, JMLR 9, 2008.
    """
    embeddings = np.asarray(embeddings, float)
    if method not in ("tsne", "pca"):
        raise StudyError(f"expected the projection tsne or pca; got {method!r}")
    if embeddings.ndim < 2 or len(embeddings) < 2:
        raise StudyError(f"expected two or more utterances to project; got {embeddings.shape}")
    points = StandardScaler().fit_transform(embeddings.reshape(len(embeddings), -1))
    few = method == "pca" or len(points) < _FEWEST_FOR_TSNE
    kept = min(2 if few else _DIMENSIONS_OF_TSNE, *points.shape)
    points = PCA(kept, random_state=seed).fit_transform(points)
    if few:
        return np.pad(points, ((0, 0), (0, 2 - kept)))
    perplexity = min(30.0, (len(points) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points)


@styled
def embedding_scatter(
    points: ArrayLike | Mapping[str, ArrayLike],
    labels: pd.DataFrame,
    by: Sequence[str] = ("emotion",),
    title: str = "",
) -> Figure:
    """Scatter utterances, coloured by emotion, corpus or speaker.

    Parameters
    ----------
    points
        Shape (utterances, 2) from `project`; or several such, by name (before, after): a row each.
    labels
        A row per utterance with the columns named in ``by``.
    by
        A column of panels each.
    title
        Of the figure.
    """
    spaces = points if isinstance(points, Mapping) else {"": points}
    figure, axes = panels(len(spaces), len(by), 4.6 if len(by) > 1 else 5.2, 3.7)
    for row, (name, space) in enumerate(spaces.items()):
        space = np.asarray(space)
        for column, key in enumerate(by):
            ax, values = axes[row][column], labels[key].to_numpy(str)
            size = float(np.clip(5000 / len(space), 9, 30))
            for position, value in enumerate(np.unique(values)):
                here = values == value
                ax.scatter(
                    *space[here].T,
                    s=size,
                    color=colour_of(value, position),
                    marker=MARKERS[position % len(MARKERS)],
                    linewidths=0.3,
                    edgecolors="white",
                    alpha=0.85,
                    label=name_of(value),
                )
            ax.set(xticks=[], yticks=[])
            ax.spines[["top", "right"]].set_visible(True)
            ax.set_title(", ".join(filter(None, [name, f"by {key}" if len(by) > 1 else ""])))
            if row == 0:
                ax.legend(
                    loc="center left",
                    bbox_to_anchor=(1.0, 0.5),
                    handletextpad=0.2,
                    markerscale=(40 / size) ** 0.5,
                    ncols=1 + (len(np.unique(values)) > 12),
                )
    figure.suptitle(title)
    return figure
