"""Dot plots: scores as dots with their intervals, the one form that all comparisons take."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ctl_helpers.report.figures.style import BLUE, panels

_GAP = 6.0  # points of room on either side of the outermost dot
_USUAL = {"low": np.nan, "high": np.nan, "line": np.nan, "panel": "", "legend": ""}
_USUAL |= {"colour": BLUE, "marker": "o", "hollow": False, "thin": False}


def stacked(table: pd.DataFrame, looks: dict[str, dict]) -> pd.DataFrame:
    """Make dots of several columns of a table: each with its interval, and a look."""
    parts = []
    for column, look in looks.items():
        names = {"value": column, "low": f"{column}_low", "high": f"{column}_high"}
        values = {kind: table.get(name, np.nan) for kind, name in names.items()}
        parts.append(table.assign(**(values | look)))
    return pd.concat(parts, ignore_index=True).dropna(subset="value")


def dot_plot(
    dots: pd.DataFrame,
    xlabel: str,
    *,
    limits: tuple[float, float] = (0.0, 100.0),
    columns: int = 1,
    joined: bool = False,
    line_style: str = ":",
) -> Figure:
    """Draw panels of rows of dots.

    Parameters
    ----------
    dots
        A row per dot. Column ``row`` is the label of the row it is on, the first on top (or the
        categories, which all panels then have), ``value`` where it is. Others may be left out:
        panel (title of its panel), low and high (its interval), line (where its panel has a
        vertical line), colour, marker, hollow (only outlined, as optimistic scores are), thin (its
        interval is of the second kind, such as that over utterances), legend.
    xlabel
        Of the axis.
    limits
        Beyond which no axis goes.
    columns
        Panels side by side; these share the labels of the first.
    joined
        Whether the dots of a row are joined by a line.
    line_style
        Of the vertical lines.
    """
    dots = dots.assign(**{name: usual for name, usual in _USUAL.items() if name not in dots})
    dots = dots.fillna({name: _USUAL[name] for name in ("colour", "marker", "hollow")})
    parts = list(dots.groupby("panel", sort=False))
    shared = isinstance(dots["row"].dtype, pd.CategoricalDtype)
    orders = [
        list(part["row"].cat.categories if shared else part["row"].unique()) for _, part in parts
    ]
    lines, heights = -(-len(parts) // columns), [len(order) + 1.6 for order in orders]
    width, tall = 6.8 if columns == 1 else 3.4, 0.27 * np.mean(heights) + 0.3 + 0.6 / lines
    look = {"sharex": True, "sharey": columns > 1, "height_ratios": heights[:lines]}
    figure, axes = panels(lines, columns, width, tall, **look)
    flat, handles = [ax for line in axes for ax in line], {}
    for ax, (name, part), order in zip(flat, parts, orders, strict=False):
        for x in part["line"].dropna().unique():
            ax.axvline(x, color="black", ls=line_style, lw=1, zorder=1)
        part = part.assign(y=part["row"].map(order.index).astype(int))
        for _, row in part.groupby("y") if joined else ():
            ax.plot(row["value"], row["y"], color="#bbbbbb", lw=1.5)
        for dot in part.itertuples():
            bar = {"lw": 1, "color": "black"} if dot.thin else {"lw": 2.5, "color": dot.colour}
            bar |= {"alpha": 0.55, "solid_capstyle": "butt", "zorder": 2}
            ax.plot([dot.low, dot.high], [dot.y, dot.y], **bar)
            face = {"mfc": "white" if dot.hollow else dot.colour, "color": dot.colour}
            face |= {"ls": "", "marker": dot.marker, "ms": 6.5, "zorder": 3}
            handles[dot.legend] = ax.plot(dot.value, dot.y, **face)[0]
        ax.set_yticks(range(len(order)), order)
        ax.set_ylim(len(order) - 0.4, -0.7)
        ax.set_title(name, loc="left")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    for ax in flat[len(parts) :]:
        ax.set_visible(False)
    reach = dots[["value", "low", "high", "line"]]
    low, high = reach.min().min() - _GAP, reach.max().max() + _GAP
    flat[0].set_xlim(max(limits[0], low), min(limits[1] + 0.8, high))
    figure.supxlabel(xlabel, fontsize=10)
    handles.pop("", None)
    if len(handles) > 1:
        place = {"loc": "outside upper center", "ncols": min(4, len(handles))}
        figure.legend(handles.values(), handles.keys(), **place)
    return figure
