"""Utterances as points: features or embeddings projected to a plane."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import seaborn
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from ctl_helpers.errors import StudyError
from ctl_helpers.report.figures.style import MARKERS, colours_of, panels, styled
from ctl_helpers.results.naming import name_of
from ctl_helpers.results.spaces import Space, neighbours

_SPEAKERS_IN_LEGEND = 24


def project(embeddings: ArrayLike) -> np.ndarray:
    """Project utterances to the plane of their first two principal components.

    Parameters
    ----------
    embeddings
        Shape (utterances, ...); further dimensions are flattened. Standardised per dimension.

    Returns
    -------
    numpy.ndarray
        Shape (utterances, 2).

    Raises
    ------
    StudyError
        For fewer than two utterances.
    """
    embeddings = np.asarray(embeddings, float)
    if len(embeddings) < 2:
        raise StudyError(f"expected two or more utterances to project; got {embeddings.shape}")
    points = StandardScaler().fit_transform(embeddings.reshape(len(embeddings), -1))
    points = PCA(min(2, *points.shape), random_state=0).fit_transform(points)
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))


@styled
def embedding_scatter(
    spaces: Space | Mapping[str, Space], by: Sequence[str] = ("emotion",)
) -> Figure:
    """Scatter utterances, coloured by emotion, corpus or speaker, with a number under each panel.

    Parameters
    ----------
    spaces
        From `results.spaces`; or several, by name (before, after): a row each.
    by
        Columns of the labels: a column of panels each. Under each panel: how often an
        utterance's nearest neighbour, in all dimensions, shares it.
    """
    spaces = spaces if isinstance(spaces, Mapping) else {"": spaces}
    figure, axes = panels(len(spaces), len(by), 4.6 if len(by) > 1 else 5.2, 3.9)
    for row, (name, space) in zip(axes, spaces.items(), strict=True):
        points, shares = project(space.points), neighbours(space, tuple(by)).set_index("by")
        for ax, key in zip(row, by, strict=True):
            _scatter(ax, points, space.labels[key].to_numpy(str), key)
            ax.set_title("\n".join(filter(None, [name, f"by {key}" if len(by) > 1 else ""])))
            if key in shares.index:
                share, chance = 100 * shares.loc[key, ["share", "chance"]]
                words = f"nearest neighbour: same {key} {share:.0f} % (chance {chance:.0f} %)"
                ax.set_xlabel(words, fontsize=9)
    return figure


def _scatter(ax, points: np.ndarray, values: np.ndarray, key: str) -> None:
    size = float(np.clip(5000 / len(points), 9, 30))
    known = colours_of(name for name in np.unique(values) if name)
    colours = {name_of(name): colour for name, colour in known.items()}
    colours |= {f"no {key} known": "#cccccc"} if "" in values else {}
    names = [name_of(value) if value else f"no {key} known" for value in values]
    marks = dict(zip(colours, cycle(MARKERS), strict=False))
    kinds = {"hue": names, "style": names, "palette": colours, "hue_order": list(colours)}
    look = {"s": size, "alpha": 0.85, "markers": marks, "style_order": list(colours)}
    seaborn.scatterplot(x=points[:, 0], y=points[:, 1], ax=ax, legend="full", **kinds, **look)
    ax.set(xticks=[], yticks=[])
    ax.spines[["top", "right"]].set_visible(True)
    place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5), "ncols": 1 + len(known) // 13}
    legend = ax.legend(**place, handletextpad=0.2, markerscale=(40 / size) ** 0.5)
    legend.set_visible(len(known) <= _SPEAKERS_IN_LEGEND)
