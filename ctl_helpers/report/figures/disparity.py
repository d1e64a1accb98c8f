"""A figure that explains margin disparity, on two toy corpora in the plane."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from ctl_helpers.report.figures.style import BLUE, GREY, ORANGE, panels, styled


def clouds(distance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make two toy corpora in the plane: one with two emotions, and the same, moved and turned.

    Parameters
    ----------
    distance : float
        How far the target lies from the source: 0 for on top of it.

    Returns
    -------
    source, target : ndarray of shape (120, 2)
    labels : ndarray of shape (120,)
        -1 or 1; a method knows only those of the source.
    """
    rng = np.random.default_rng(0)
    labels = np.repeat([-1, 1], 60)
    source = rng.normal(size=(120, 2)) * (0.4, 0.7) + labels[:, None] * (1.0, 0.0)
    turn = 0.6 * distance
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return source, source @ rotation.T + distance * np.array([2.2, 2.6]), labels


def margin_disparity(
    source: np.ndarray, target: np.ndarray, first: np.ndarray, margin: float = 1.0
) -> tuple[np.ndarray, float]:
    """Find the line that agrees with a first one on the source and least on the target.

    Parameters
    ----------
    source, target : ndarray of shape (points, 2)
        Two clouds.
    first : ndarray of shape (3,)
        A line f: f(x, y) = a x + b y + c, whose sign is the class.
    margin : float
        Distance from the second line at which a point counts as clearly on one side.

    Returns
    -------
    second : ndarray of shape (3,)
        The line f' of the greatest disparity among lines of all directions and places.
    disparity : float
        By how much more of the target than of the source f' leaves the class that f gives; a point
        within the margin counts in part. 0 for clouds that lie on each other, at most 1.

    References
    ----------
    Zhang et al., "Bridging theory and algorithm for domain adaptation", ICML 2019, section 3.

    Examples
    --------
    >>> source, target, _ = clouds(0.0)
    >>> margin_disparity(source, target, np.array([1.0, 0.0, 0.0]))[1]
    0.0
    """
    angles, offsets = np.meshgrid(np.linspace(0, 2 * np.pi, 72, False), np.linspace(-4, 4, 81))
    lines = np.stack([np.cos(angles), np.sin(angles), offsets], -1).reshape(-1, 3)

    def leaves(points: np.ndarray) -> np.ndarray:
        said = np.sign(points @ first[:2] + first[2])[:, None]
        return np.clip(1 - said * (points @ lines[:, :2].T + lines[:, 2]) / margin, 0, 1).mean(0)

    disparities = leaves(target) - leaves(source)
    best = disparities.argmax()
    if disparities[best] <= 0:
        return first, 0.0
    return lines[best], float(disparities[best])


@styled
def margin_disparity_on_clouds(distances: Sequence[float] = (1.0, 0.5, 0.0)) -> Figure:
    """Draw what margin disparity measures, on two clouds that come closer."""
    figure, ((*planes, curve),) = panels(1, len(distances) + 1, 2.7, 2.9)
    first = np.array([1.0, 0.0, 0.0])
    for ax, distance in zip(planes, distances, strict=True):
        source, target, labels = clouds(distance)
        second, disparity = margin_disparity(source, target, first)
        said = [np.sign(target @ line[:2] + line[2]) for line in (first, second)]
        colours = np.where(labels == 1, ORANGE, BLUE)
        ax.scatter(*source.T, s=10, c=colours, alpha=0.35, lw=0)
        ax.scatter(*target.T, s=12, color=GREY, marker="x", lw=0.9)
        circles = {"facecolors": "none", "edgecolors": "black", "lw": 0.8}
        ax.scatter(*target[said[0] != said[1]].T, s=42, **circles)
        for (a, b, c), style in ((first, "-"), (second, "--")):
            ax.axline((-c * a, -c * b), (-c * a - b, -c * b + a), color="black", lw=1.4, ls=style)
        ax.set(xlim=(-2.5, 5), ylim=(-2.5, 5), xticks=[], yticks=[], aspect="equal")
        ax.set_title(f"disparity {disparity:.2f}")
    steps = np.linspace(0, 1, 11)
    found = [margin_disparity(*clouds(step)[:2], first)[1] for step in steps]
    curve.plot(steps, found, color="black")
    curve.plot(distances, np.interp(distances, steps, found), "o", color="black")
    curve.set(xlabel="distance of the target", ylim=(0, 1.02), title="disparity")
    curve.grid()
    return figure
