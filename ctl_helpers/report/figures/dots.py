"""Dot plots: scores as dots with their intervals, the one form that all comparisons take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Panel:
    """Rows of dots under a title.

    Parameters
    ----------
    title : str
    rows : list
        Label and dots of each row, the first on top.
    lines : dict
        Position and style of vertical lines.
    """

    title: str
    rows: Sequence[tuple[str, Sequence[Dot]]]
    lines: Mapping[float, str] = field(default_factory=dict)

    @property
    def dots(self) -> list[Dot]:
        """The dots of all rows."""
        return [dot for _, dots in self.rows for dot in dots]


def dot_plot(
    plots: Sequence[Panel],
    xlabel: str,
    title: str = "",
    *,
    limits: tuple[float, float] = (0.0, 100.0),
    columns: int = 1,
    joined: bool = False,
) -> Figure:
    """Draw panels of rows of dots.

    Parameters
    ----------
    plots
        The panels.
    xlabel, title
        Of the axis and the figure.
    limits
        Beyond which no axis goes.
    columns
        Panels side by side; these share the labels of the first.
    joined
        Whether the dots of a row are joined by a line.
    """
    if not any(panel.rows for panel in plots):
        raise StudyError("figure: expected scores to draw; got an empty frame")
    lines, heights = -(-len(plots) // columns), [len(panel.rows) + 1.6 for panel in plots]
    heights = heights if columns == 1 else [max(heights)] * lines
    width, tall = 6.8 if columns == 1 else 3.4, 0.27 * np.mean(heights) + 0.3 + 0.6 / lines
    look: dict[str, Any] = {"sharex": True, "sharey": columns > 1, "height_ratios": heights}
    figure, axes = panels(lines, columns, width, tall, **look)
    flat = [ax for line in axes for ax in line]
    for ax, panel in zip(flat, plots, strict=False):
        for x, style in panel.lines.items():
            ax.axvline(x, color="black", ls=style, lw=1, zorder=1)
        for y, (_, dots) in enumerate(panel.rows):
            if joined and len(dots) > 1:
                ax.plot([dot.value for dot in dots], [y] * len(dots), color="#bbbbbb", lw=1.5)
            for dot in dots:
                _draw(ax, y, dot)
        ax.set_yticks(range(len(panel.rows)), [label for label, _ in panel.rows])
        ax.set_ylim(len(panel.rows) - 0.4, -0.7)
        ax.set_title(panel.title, loc="left")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    for ax in flat[len(plots) :]:
        ax.set_visible(False)
    dots = [dot for panel in plots for dot in panel.dots]
    reach = [x for dot in dots for x in (dot.value, dot.low, dot.high) if np.isfinite(x)]
    reach += [x for panel in plots for x in panel.lines]
    flat[0].set_xlim(max(limits[0], min(reach) - _GAP), min(limits[1] + 0.8, max(reach) + _GAP))
    figure.supxlabel(xlabel, fontsize=10)
    _legend(figure, {dot.legend: dot for dot in dots if dot.legend})
    figure.suptitle(title)
    return figure


def _draw(ax, y: float, dot: Dot) -> None:
    if np.isfinite(dot.low):
        width = {"lw": 1, "color": "black"} if dot.thin else {"lw": 2.5, "color": dot.colour}
        ax.plot([dot.low, dot.high], [y, y], alpha=0.55, solid_capstyle="butt", zorder=2, **width)
    ax.plot(dot.value, y, zorder=3, **_look(dot))


def _look(dot: Dot) -> dict[str, Any]:
    face = "white" if dot.hollow else dot.colour
    return {"ls": "", "marker": dot.marker, "ms": 6.5, "color": dot.colour, "mfc": face}


def _legend(figure: Figure, looks: Mapping[str, Dot]) -> None:
    handles = [Line2D([], [], label=words, **_look(dot)) for words, dot in looks.items()]
    if len(handles) > 1:
        figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)))
