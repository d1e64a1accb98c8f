"""Figures of results: mostly dots with their intervals, the one form all comparisons take."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix as count_confusions

from ctl_helpers.report import tables
from ctl_helpers.report.figures.style import BLUE, GREEN, GREY, ORANGE, colours_of, panels, styled
from ctl_helpers.results import naming
from ctl_helpers.results.runs import OPTIMISTIC
from ctl_helpers.results.statistics import calibration
from ctl_helpers.results.summaries import pooled_interval

_GAP = 6.0  # points of room on either side of the outermost dot
_LONGEST = 44  # characters of a row's label in one line
_MOST = 16  # of our methods in a figure of all of them
_PUBLISHED, _BEST = "published", naming.HEADINGS[OPTIMISTIC]
_CONDITIONS = {tables.SHUFFLED: "shuffled folds", tables.HELD_OUT: "speakers held out"}
_OWN = "held out, scaled by their own speech"
# What a dot has where nothing else is said of it, and its look by its legend: colour, marker, and
# whether it is only outlined.
_USUAL = {"low": np.nan, "high": np.nan, "line": np.nan, "thin": False, "colour": BLUE}
_USUAL |= {"panel": "", "legend": ""}
_LOOKS = {
    _PUBLISHED: (GREY, "D", True),
    _BEST: (ORANGE, "o", True),
    _CONDITIONS[tables.HELD_OUT]: (ORANGE, "o", False),
    _OWN: (GREEN, "o", False),
}
_CURVES = {
    "loss": ("loss", "training", BLUE, "-"),
    "discrepancy": ("loss", "discrepancy", GREY, "--"),
    "accuracy": ("score %", "training accuracy", BLUE, "-"),
    "validation_uar": ("score %", "validation UAR", GREY, "--"),
    "test_war": ("score %", "test WAR", ORANGE, "-"),
    "test_uar": ("score %", "test UAR", GREEN, "-"),
}


@styled
def confusion_matrix(
    predictions: pd.DataFrame, emotions: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw which emotion is taken for which: rates of each row as colour, counts below.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, of one condition; counts are sums over folds and seeds.
    emotions
        Order of rows and columns; sorted by default.
    title
        Of the figure.
    """
    columns = [predictions["emotion"], predictions["predicted"]]
    names = list(emotions) if emotions is not None else sorted(set(pd.concat(columns)))
    counts = count_confusions(*columns, labels=names)
    rates = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    written = [f"{rate:.0f}\n{count}" for rate, count in zip(rates.flat, counts.flat, strict=True)]
    size = 1.7 + 0.68 * len(names)
    figure, ((ax,),) = panels(1, 1, size + 0.6, size)
    seaborn.heatmap(
        pd.DataFrame(rates, names, names),
        annot=np.reshape(written, rates.shape),
        **{"fmt": "", "annot_kws": {"fontsize": 9}, "cmap": "Blues", "vmin": 0, "vmax": 100},
        **{"square": True, "linewidths": 1, "ax": ax},
        cbar_kws={"label": "% of the true emotion", "shrink": 0.8},
    )
    ax.tick_params(length=0)
    ax.tick_params("x", rotation=45)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    return figure


@styled
def learning_curves(history: pd.DataFrame, title: str = "") -> Figure:
    """Draw loss and scores per epoch: mean over folds and seeds, the band is one deviation.

    Parameters
    ----------
    history
        From `runs.load_history`; scores are fractions.
    title
        Of the figure.
    """
    measured = {c: look for c, look in _CURVES.items() if c in history and history[c].notna().any()}
    kinds = list(dict.fromkeys(kind for kind, *_ in measured.values()))
    figure, axes = panels(1, len(kinds), 5.0, 3.3)
    losses = [column for column, (kind, *_) in measured.items() if kind == "loss"]
    least = min(0.0, 1.05 * history[losses].min().min()) if losses else 0.0  # of a discrepancy, say
    for column, (kind, label, colour, line) in measured.items():
        ax, loss = axes[0][kinds.index(kind)], kind == "loss"
        values = history[["epoch"]].assign(score=history[column] * (1 if loss else 100))
        look = {"color": colour, "ls": line, "label": label, "err_kws": {"alpha": 0.18, "lw": 0}}
        seaborn.lineplot(values, x="epoch", y="score", errorbar="sd", ax=ax, **look)
        ax.set(xlabel="epoch", ylabel=kind, ylim=(least, None) if loss else (0, 100))
        ax.grid(True)
        ax.margins(x=0.01)
        ax.locator_params("x", integer=True, min_n_ticks=1)
        ax.legend(loc="upper right" if loss else "lower right")
    runs = history["run"].nunique()
    band = f"mean of {runs} runs, band: one standard deviation" if runs > 1 else "one run"
    figure.suptitle(f"{title} ({band})" if title else band[0].upper() + band[1:])
    return figure


@styled
def recalls(predictions: pd.DataFrame, by: str = "emotion", title: str = "") -> Figure:
    """Draw the recall of each emotion or the UAR of each speaker, the weakest at the bottom."""
    table, score = tables.scores_by(predictions, by), "uar" if by == "speaker" else "recall"
    table["row"] = table[by].replace("", "unknown") + ", n = " + table["utterances"].astype(str)
    table["colour"] = table[by].map(colours_of(table[by])) if by == "emotion" else BLUE
    dots = _dots(table.sort_values(score, ascending=False), score)
    pooled = 100 * pooled_interval(predictions).value
    label = f"{naming.HEADINGS[score]} (bars: 95 % intervals; dashed: UAR of all, {pooled:.1f})"
    return _dot_plot(dots.assign(panel=title, line=pooled), label, line_style="--")


@styled
def comparison(table: pd.DataFrame) -> Figure:
    """Compare methods: a panel per place (corpus or pair, protocol, labels), chance dotted.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`. Panels share their rows: the published methods, which
        have no intervals, ours that test them, and the best of ours, in the order of their means.
    """
    several = table["source"].str.contains("+", regex=False)  # sources at once: the last panels
    table = pd.concat([table[~several], table[several]])
    table = table[table["source"] != "mean"].reset_index(drop=True)
    rows = table.to_dict("records")
    dots = _scored(table, [naming.title_of(row, naming.name_of(row["protocol"])) for row in rows])
    dots["row"] += [f" ({part})" if (part := naming.part_of(row)) else "" for row in rows]
    dots["mean"] = dots.groupby("row")["value"].transform("mean")
    dots["always"] = tables.tests_published(table) | dots["legend"].eq(_PUBLISHED)
    dots = dots.sort_values("mean", ascending=False, kind="stable")
    ours = dots.loc[~dots["always"], "row"].unique()
    dots = dots[dots["always"] | ~dots["row"].isin(ours[_MOST:])]
    label = "UAR % (dotted: chance; bars: 95 %, thin ones over utterances or speakers)"
    return _dot_plot(dots, label, side_by_side=True)


@styled
def overview(table: pd.DataFrame, most: int = 12) -> Figure:
    """Compare shuffled folds with held-out speakers: a panel per corpus, a row per method.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`; see `tables.first_look` for what is shown of it.
    most
        Rows of a panel.
    """
    table = tables.first_look(table, most)
    dots = _scored(table, table["corpus"].map(naming.name_of))
    dots["legend"] = dots["legend"].where(dots["legend"] == _PUBLISHED, table["condition"])
    dots = dots.replace({"legend": _CONDITIONS})
    own = table["normalisation"].eq("speaker") & table["condition"].eq(tables.HELD_OUT)
    dots["legend"] = dots["legend"].mask(own & table["reported_by"].eq(naming.OURS), _OWN)
    return _dot_plot(dots, "UAR % (dotted: chance; bars: 95 % intervals)", joined=True)


@styled
def verdicts(table: pd.DataFrame) -> Figure:
    """Draw the UAR of every claim beside what came out; see `verdict.verdict` for the table."""
    table = table[table["metric"] == "UAR"]
    rows = table["claim"] + " (" + table["recipe"] + "): " + table["verdict"]
    dots = _of_columns(table.assign(row=rows), "last", OPTIMISTIC, _PUBLISHED)
    return _dot_plot(dots, "UAR % (bars: 95 % intervals)")


@styled
def gap(table: pd.DataFrame) -> Figure:
    """Draw the last epoch's score and what picking the epoch on the test part adds.

    Parameters
    ----------
    table
        From `comparisons.gap`.
    """
    rows = table.to_dict("records")
    titles = [
        naming.title_of(row, naming.method_of(row), naming.name_of(row["protocol"])) for row in rows
    ]
    words = ": " + table["metric"] + table["gap"].map(", {:+.1f}".format)
    dots = _of_columns(table.assign(row=titles + words), "last", OPTIMISTIC)
    return _dot_plot(dots, "score %", joined=True)


@styled
def gains(table: pd.DataFrame) -> Figure:
    """Draw what adaptation adds to source-only: a panel per pair and protocol.

    Parameters
    ----------
    table
        From `comparisons.gains`. Panels share their rows, in the order of their means. Thick bars
        are its intervals over seeds, thin ones those over utterances, where it has them.
    """
    rows = table.to_dict("records")
    panel = [naming.title_of(row, naming.name_of(row["protocol"])) for row in rows]
    table = table.assign(panel=panel, row=[naming.method_of(row) for row in rows], line=0.0)
    table["mean"] = table.groupby("row")["difference"].transform("mean")
    table = table.sort_values("mean", ascending=False, kind="stable")
    thin = _dots(table, "difference", "pooled_difference", thin=True)
    dots = pd.concat([thin, _dots(table, "difference", thin=False)])
    label = "points of UAR over source only (bars: 95 %; thick over seeds, thin over utterances)"
    limits = (-100.0, 100.0)
    return _dot_plot(dots, label, limits=limits, side_by_side=True, line_style="-")


@styled
def reliability(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw a reliability diagram: does a confidence of 80 % mean right in 80 % of the cases.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, with columns p_<emotion>.
    title
        Of the figure.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    ece, table = calibration(predictions)
    figure, axes = panels(2, 1, 4.4, 2.5, sharex=True, height_ratios=[3, 1])
    (ax,), (below,) = axes
    width = {"width": 1 / len(table), "align": "edge", "edgecolor": "white"}
    ax.bar(table["low"], table["accuracy"].fillna(0), color=BLUE, label="accuracy", **width)
    ends = table["low"], table["high"]
    ax.hlines(table["confidence"], *ends, color=ORANGE, lw=2.5, label="mean confidence")
    ax.plot([0, 1], [0, 1], color="black", ls="--", lw=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    ax.set_title(", ".join(filter(None, [title, f"ECE {100 * ece:.1f} %"])))
    ax.legend(loc="upper left")
    below.bar(table["low"], table["utterances"], color=GREY, **width)
    below.set(xlabel="confidence", ylabel="utterances")
    return figure


def _dots(table: pd.DataFrame, column: str, bars: str = "", **more: object) -> pd.DataFrame:
    """Make a dot of each value of a column, with its interval or that of another column."""
    low, high = (table.get(f"{bars or column}_{end}", np.nan) for end in ("low", "high"))
    return table.assign(value=table[column], low=low, high=high, **more)


def _of_columns(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """Make dots of several columns, each with a legend."""
    parts = [_dots(table, column, legend=naming.HEADINGS.get(column, column)) for column in columns]
    return pd.concat(parts, ignore_index=True).dropna(subset="value")


def _scored(table: pd.DataFrame, panels: Sequence[str]) -> pd.DataFrame:
    """Make a dot of each score, with its interval as `tables.interval_of` gives it."""
    rows = table.to_dict("records")
    whose = table["reported_by"].where(table["reported_by"] == naming.OURS, _PUBLISHED)
    return pd.DataFrame([tables.interval_of(row) for row in rows]).assign(
        row=[naming.label_of(row) for row in rows],
        line=[tables.chance_of(row) for row in rows],
        thin=table["uar_low"].isna().to_numpy(),
        legend=whose.mask(table["optimistic"].eq(True), _BEST).to_numpy(),
        panel=pd.Categorical(panels, dict.fromkeys(panels)),
    )


def _wrapped(label: str) -> str:
    """Divide a long label into lines of about the same length."""
    lines = -(-len(label) // _LONGEST)
    width = _LONGEST if lines == 1 else len(label) // lines + 6
    return textwrap.fill(label, width, break_on_hyphens=False, break_long_words=False)


def _dot_plot(
    dots: pd.DataFrame,
    xlabel: str,
    *,
    limits: tuple[float, float] = (0.0, 100.0),
    side_by_side: bool = False,
    joined: bool = False,
    line_style: str = ":",
) -> Figure:
    """Draw panels of rows of dots.

    Parameters
    ----------
    dots
        A row per dot. Column ``row`` is the label of the row it is on, the first on top, ``value``
        where it is. Others may be left out: panel (title of its panel), low and high (its
        interval), line (where its panel has a vertical line), thin (its interval is of the second
        kind, such as that over utterances), legend, colour.
    xlabel
        Of the axis.
    limits
        Beyond which no axis goes.
    side_by_side
        Whether up to three panels stand side by side, all with the same rows.
    joined
        Whether the dots of a row are joined by a line.
    line_style
        Of the vertical lines.
    """
    dots = pd.DataFrame(_USUAL, dots.index).assign(**dots)
    parts = list(dots.groupby("panel", observed=True))
    columns = min(3, len(parts)) if side_by_side else 1
    orders = [list((dots if side_by_side else part)["row"].unique()) for _, part in parts]
    lines, heights = -(-len(parts) // columns), [len(order) + 1.6 for order in orders]
    row = 0.14 + 0.13 * dots["row"].map(_wrapped).str.count("\n").add(1).max()  # inches
    width, tall = 6.8 if columns == 1 else 3.4, row * np.mean(heights) + 0.3 + 0.6 / lines
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
            colour, marker, hollow = _LOOKS.get(dot.legend, (dot.colour, "o", False))
            bar = {"lw": 1, "color": "black"} if dot.thin else {"lw": 2.5, "color": colour}
            bar |= {"alpha": 0.55, "solid_capstyle": "butt", "zorder": 2}
            ax.plot([dot.low, dot.high], [dot.y, dot.y], **bar)
            face = {"mfc": "white" if hollow else colour, "color": colour}
            face |= {"ls": "", "marker": marker, "ms": 6.5, "zorder": 3}
            handles[dot.legend] = ax.plot(dot.value, dot.y, **face)[0]
        ax.set_yticks(range(len(order)), [*map(_wrapped, order)], linespacing=1.0)
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
        side = 2 if len(handles) > 3 and columns == 1 else 4
        place = {"loc": "outside upper center", "ncols": min(side, len(handles))}
        figure.legend(handles.values(), handles.keys(), **place)
    return figure
