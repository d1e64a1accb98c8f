"""Dot plots: scores as dots with their intervals, the one form that all comparisons take."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctl_helpers.errors import StudyError
from ctl_helpers.report.figures.style import BLUE, panels

_GAP = 6.0  # points of room on either side of the outermost dot


@dataclass(frozen=True)
class Dot:
    """A score on a row, with its interval where there is one.

    Parameters
    ----------
    value, low, high : float
        In percent or points.
    colour, marker : str
        Its look.
    hollow : bool
        Whether it is only outlined, as optimistic scores are.
    thin : bool
        Whether its interval is of the second kind, such as that over utterances.
    legend : str
        What the legend says of its look, if anything.
    """

    value: float
    low: float = np.nan
    high: float = np.nan
    colour: str | tuple = BLUE
    marker: str = "o"
    hollow: bool = False
    thin: bool = False
    legend: str = ""


Panel = tuple[str, Sequence[tuple[str, Sequence[Dot]]]]


def dot_plot(
    plots: Sequence[Panel],
    xlabel: str,
    title: str = "",
    *,
    vertical: dict[float, str] | Sequence[dict[float, str]] = (),
    limits: tuple[float, float] = (0.0, 100.0),
    columns: int = 1,
    joined: bool = False,
) -> Figure:
    """Draw panels of rows of dots, the first row on top.

    Parameters
    ----------
    plots
        Of each panel its title and its rows: label and dots.
    xlabel, title
        Of the axis and the figure.
    vertical
        Position and line style of vertical lines, for all panels or one by one.
    limits
        Beyond which no axis goes.
    columns
        Panels side by side; these share the labels of the first.
    joined
        Whether the dots of a row are joined by a line.
    """
    if not any(rows for _, rows in plots):
        raise StudyError("figure: expected scores to draw; got an empty frame")
    height = max(len(rows) for _, rows in plots) + 1.6
    lines = -(-len(plots) // columns)
    heights = [len(rows) + 1.6 for _, rows in plots] if columns == 1 else [height] * lines
    width, tall = 6.8 if columns == 1 else 3.4, 0.27 * np.mean(heights) + 0.3 + 0.6 / lines
    look: dict[str, Any] = {"sharex": True, "sharey": columns > 1, "height_ratios": heights}
    figure, axes = panels(lines, columns, width, tall, **look)
    flat = [ax for line in axes for ax in line]
    verticals = [vertical] * len(plots) if isinstance(vertical, dict) else list(vertical)
    for ax, (name, rows), here in zip(flat, plots, verticals or [{}] * len(plots), strict=False):
        for x, style in here.items():
            ax.axvline(x, color="black", ls=style, lw=1, zorder=1)
        for y, (_, dots) in enumerate(rows):
            if joined and len(dots) > 1:
                ax.plot([dot.value for dot in dots], [y] * len(dots), color="#bbbbbb", lw=1.5)
            for dot in dots:
                _draw(ax, y, dot)
        ax.set_yticks(range(len(rows)), [label for label, _ in rows])
        ax.set_ylim(len(rows) - 0.4, -0.7)
        ax.set_title(name, loc="left")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    for ax in flat[len(plots) :]:
        ax.set_visible(False)
    flat[0].set_xlim(*_limits(plots, verticals, limits))
    figure.supxlabel(xlabel, fontsize=10)
    _legend(figure, [dot for _, rows in plots for _, dots in rows for dot in dots])
    figure.suptitle(title)
    return figure


def _draw(ax, y: float, dot: Dot) -> None:
    if np.isfinite(dot.low):
        width = {"lw": 1, "color": "black"} if dot.thin else {"lw": 2.5, "color": dot.colour}
        ax.plot([dot.low, dot.high], [y, y], alpha=0.55, solid_capstyle="butt", zorder=2, **width)
    face = "white" if dot.hollow else dot.colour
    ax.plot(dot.value, y, dot.marker, ms=6.5, color=dot.colour, mfc=face, zorder=3)


def _limits(plots, verticals, limits: tuple[float, float]) -> tuple[float, float]:
    dots = [dot for _, rows in plots for _, of_row in rows for dot in of_row]
    reach = [x for dot in dots for x in (dot.value, dot.low, dot.high) if np.isfinite(x)]
    reach += [x for here in verticals for x in here]
    return max(limits[0], min(reach) - _GAP), min(limits[1] + 0.8, max(reach) + _GAP)


def _legend(figure: Figure, dots: list[Dot]) -> None:
    looks = {dot.legend: dot for dot in dots if dot.legend}
    handles = [
        Line2D([], [], ls="", marker=dot.marker, ms=6.5, color=dot.colour, label=words)
        for words, dot in looks.items()
    ]
    for handle, dot in zip(handles, looks.values(), strict=True):
        handle.set_markerfacecolor("white" if dot.hollow else dot.colour)
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))
