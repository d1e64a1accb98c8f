"""Figures of results."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix as count_confusions

from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.figures.style import BLUE, GREY, ORANGE, colour_of, panels, styled
from ctl_helpers.report.markup import DAGGER
from ctl_helpers.results.naming import OURS, label_of, name_of, part_of, place_of, title_of
from ctl_helpers.results.runs import pooled_interval
from ctl_helpers.results.statistics import calibration_of

_CURVES = {
    "loss": ("loss", "training", BLUE, "-"),
    "val_loss": ("loss", "validation", GREY, "--"),
    "accuracy": ("score %", "training accuracy", BLUE, "-"),
    "val_uar": ("score %", "validation UAR", GREY, "--"),
    "test_war": ("score %", "test WAR", ORANGE, "-"),
    "test_uar": ("score %", "test UAR", "#009E73", "-"),
}


@styled
def confusion_matrix(
    predictions: pd.DataFrame, emotions: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Draw who is taken for whom: rates of each row as colour and number, counts below.

    Parameters
    ----------
    predictions
        From `results.load_predictions`, of one condition; counts are sums over folds and seeds.
    emotions
        Order of rows and columns; sorted by default.
    title
        Of the figure.
    """
    _check_rows(predictions, "predictions")
    columns = [predictions["emotion"], predictions["predicted"]]
    names = list(emotions) if emotions is not None else sorted(set(pd.concat(columns)))
    counts = count_confusions(*columns, labels=names)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.7 + 0.68 * len(names)
    figure, axes = panels(1, 1, size + 0.6, size)
    ax = axes[0][0]
    sns.heatmap(
        100 * rates,
        **{"ax": ax, "cmap": "Blues", "vmin": 0, "vmax": 100, "square": True, "linewidths": 0.8},
        cbar_kws={"label": "% of the true emotion", "shrink": 0.8},
    )
    for (row, column), rate in np.ndenumerate(rates):
        colour = "white" if rate > 0.55 else "black"
        place = {"ha": "center", "color": colour}
        ax.text(column + 0.5, row + 0.47, f"{100 * rate:.0f}", va="bottom", fontsize=11, **place)
        ax.text(column + 0.5, row + 0.58, f"{counts[row, column]}", va="top", fontsize=7.5, **place)
    ax.set_xticklabels(names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticklabels(names, rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    return figure


@styled
def learning_curves(history: pd.DataFrame, title: str = "") -> Figure:
    """Draw loss and scores per epoch: mean over folds and seeds, the band is one deviation.

    Parameters
    ----------
    history
        From `results.load_history`: columns run, epoch, loss and, where they were measured,
        accuracy, val_loss, val_uar, test_war, test_uar (fractions).
    title
        Of the figure.
    """
    _check_rows(history, "history")
    measured = {c: look for c, look in _CURVES.items() if c in history and history[c].notna().any()}
    kinds = list(dict.fromkeys(look[0] for look in measured.values()))
    figure, axes = panels(1, len(kinds), 5.0, 3.3)
    for ax, kind in zip(axes[0], kinds, strict=True):
        for column, (of_kind, label, colour, line) in measured.items():
            if of_kind != kind:
                continue
            values = history.groupby("epoch")[column].agg(["mean", "std"])
            values = values.dropna(subset="mean").fillna(0.0) * (1 if kind == "loss" else 100)
            ax.plot(values.index, values["mean"], line, color=colour, label=label)
            low, high = values["mean"] - values["std"], values["mean"] + values["std"]
            if kind != "loss":
                low, high = low.clip(0, 100), high.clip(0, 100)
            ax.fill_between(values.index, low, high, color=colour, alpha=0.18, lw=0)
        ax.grid()
        ax.margins(x=0.01)
        ax.set(xlabel="epoch", ylabel=kind)
        ax.legend(loc="upper right" if kind == "loss" else "lower right")
    axes[0][0].set_ylim(bottom=0)
    runs = history["run"].nunique() if "run" in history else 1
    band = f"mean of {runs} runs, band: one standard deviation" if runs > 1 else "one run"
    figure.suptitle(f"{title} ({band})" if title else band[0].upper() + band[1:])
    return figure


@styled
def recall_per_speaker(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw the UAR of each speaker with its 95 % interval, the weakest at the bottom."""
    _check_rows(predictions, "predictions")
    table = tables.per_speaker(predictions).sort_values("uar")
    labels = [
        f"{row.speaker or 'unknown'}{f' ({row.sex})' if row.sex else ''}, n = {row.utterances}"
        for row in table.itertuples()
    ]
    return _recalls(table, "uar", labels, [BLUE] * len(table), "UAR %", predictions, title)


@styled
def recall_per_emotion(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw the recall of each emotion with its 95 % interval, the weakest at the bottom."""
    _check_rows(predictions, "predictions")
    table = tables.per_emotion(predictions).sort_values("recall")
    labels = [f"{row.emotion}, n = {row.utterances}" for row in table.itertuples()]
    colours = [colour_of(emotion, i) for i, emotion in enumerate(table["emotion"])]
    return _recalls(table, "recall", labels, colours, "recall %", predictions, title)


def _recalls(
    table: pd.DataFrame,
    column: str,
    labels: list[str],
    colours: list[str],
    unit: str,
    predictions: pd.DataFrame,
    title: str,
) -> Figure:
    figure, axes = panels(1, 1, 5.4, 1.1 + 0.3 * len(table))
    ax = axes[0][0]
    for y, (row, colour) in enumerate(zip(table.to_dict("records"), colours, strict=True)):
        _interval(ax, y, row, column, color=colour, marker="o")
    pooled = 100 * pooled_interval(predictions, "uar").value
    ax.axvline(pooled, color="black", ls="--", lw=1)
    ax.set_yticks(range(len(table)), labels)
    ax.set(xlabel=f"{unit} (dashed: UAR of all, {pooled:.1f})", title=title)
    ax.set_ylim(-0.7, len(table) - 0.3)
    ax.set_xlim(right=101)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    return figure


@styled
def comparison(
    table: pd.DataFrame, metric: str = "uar", chance: float | None = None, title: str = ""
) -> Figure:
    """Compare methods as a forest plot: a panel per corpus (or pair) and protocol.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`; published scores have no intervals and are grey,
        optimistic ones hollow.
    metric
        ``"uar"`` or ``"war"``.
    chance
        Score of a guess in percent, drawn as a dotted line.
    title
        Of the figure.
    """
    _check_rows(table, "scores")
    place = [column for column in ("corpus", "source", "target") if column in table]
    groups = list(table.groupby([*place, "protocol"], sort=False))
    heights = [len(group) + 1.6 for _, group in groups]
    figure, axes = panels(
        *(len(groups), 1, 7.2, 0.27 * sum(heights) / len(groups) + 0.25),
        **{"sharex": True, "height_ratios": heights},
    )
    for (ax,), (key, group) in zip(axes, groups, strict=True):
        rows = group.sort_values(metric).to_dict("records")
        for y, row in enumerate(rows):
            mine, hollow = row["reported_by"] == OURS, bool(row["optimistic"])
            look = {"color": BLUE if mine else GREY, "marker": "o" if mine else "D"}
            _interval(ax, y, row, metric, mfc="white" if hollow else look["color"], **look)
        ax.set_yticks(range(len(rows)), [_label(row) for row in rows])
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.set_title(f"{' → '.join(map(name_of, key[:-1]))}, {name_of(key[-1])}", loc="left")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        if chance is not None:
            ax.axvline(chance, color="black", ls=":", lw=1)
    marks = "grey: published; bars: 95 % intervals"
    if table["optimistic"].any():
        marks += f"; hollow, {DAGGER}: epoch picked on the test part"
    axes[-1][0].set_xlabel(f"{metric.upper()} % ({marks})")
    figure.suptitle(title)
    return figure


def _label(row: dict) -> str:
    return label_of(row) + (f" ({part})" if (part := part_of(row)) else "")


def _interval(ax: Axes, y: float, row: dict, column: str, **look) -> None:
    """Draw a score and, where it is known, its interval."""
    low, high = row.get(f"{column}_low", np.nan), row.get(f"{column}_high", np.nan)
    if not np.isnan(low):
        ax.plot([low, high], [y, y], color=look["color"], lw=2, alpha=0.6, solid_capstyle="butt")
    ax.plot(row[column], y, ms=6, ls="", **look)


@styled
def gap(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw the last epoch's UAR and WAR and what picking the epoch on the test part adds.

    Parameters
    ----------
    table
        From `comparisons.gap`.
    title
        Of the figure.
    """
    _check_rows(table, "runs with both selections")
    figure, axes = panels(1, 1, 6.4, 1.2 + 0.38 * len(table))
    ax, labels = axes[0][0], []
    for y, row in enumerate(reversed(table.to_dict("records"))):
        ax.plot([row["last"], row["best_test"]], [y, y], color=GREY, lw=2, zorder=1)
        ax.plot(row["last"], y, "o", color=BLUE, label="last epoch" if y == 0 else None)
        ax.plot(
            *(row["best_test"], y, "o"),
            **{"mfc": "white", "color": ORANGE},
            label=f"best test epoch {DAGGER}" if y == 0 else None,
        )
        ax.annotate(
            f"+{row['gap']:.1f}" if row["gap"] >= 0 else f"{row['gap']:.1f}",
            (row["best_test"], y),
            **{"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 9},
        )
        labels.append(f"{title_of(row)}: {row['metric']}")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(-0.7, len(labels) - 0.3)
    ax.margins(x=0.12)
    ax.set_xlabel("score %")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=2, title=title or None)
    return figure


@styled
def gains(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw what adaptation adds to source-only: a panel per pair, protocol and recipe.

    Parameters
    ----------
    table
        From `comparisons.gains`. Thick bars are its intervals over seeds, thin ones those over
        utterances, where it has them.
    title
        Of the figure.
    """
    _check_rows(table, "gains")
    keys = ["source", "target", "protocol", "recipe", "normalisation"]
    groups = list(table.groupby(keys, sort=False))
    heights = [len(group) + 1.6 for _, group in groups]
    figure, axes = panels(
        *(len(groups), 1, 6.4, 0.27 * sum(heights) / len(groups) + 0.7),
        **{"sharex": True, "height_ratios": heights},
    )
    for (ax,), (key, group) in zip(axes, groups, strict=True):
        rows = group.sort_values("difference").to_dict("records")
        for y, row in enumerate(rows):
            ends = [row.get(f"pooled_difference_{end}", np.nan) for end in ("low", "high")]
            ax.plot(ends, [y, y], color="black", lw=1, zorder=3)
            _interval(ax, y, row, "difference", color=BLUE, marker="o")
        ax.axvline(0, color="black", lw=1)
        ax.set_yticks(range(len(rows)), [name_of(row["method"]) for row in rows])
        ax.set_ylim(-0.7, len(rows) - 0.3)
        said = [place_of(rows[0]), name_of(key[2]), key[3], key[4].replace("none", "")]
        ax.set_title(", ".join(filter(None, said)), loc="left")
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    axes[-1][0].set_xlabel("points of UAR (bars: 95 %; thick over seeds, thin over utterances)")
    figure.suptitle(title)
    return figure


@styled
def reliability(predictions: pd.DataFrame, bins: int = 10, title: str = "") -> Figure:
    """Draw a reliability diagram: does a confidence of 80 % mean right in 80 % of the cases.

    Parameters
    ----------
    predictions
        From `results.load_predictions`, with columns p_<emotion>.
    bins
        Number of bins of equal width.
    title
        Of the figure.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    _check_rows(predictions, "predictions")
    found = calibration_of(predictions, bins)
    table = found.bins
    figure, axes = panels(2, 1, 4.4, 2.5, sharex=True, height_ratios=[3, 1])
    (ax,), (below,) = axes
    width = {"width": 1 / bins, "align": "edge", "edgecolor": "white"}
    ax.bar(table["low"], table["accuracy"].fillna(0), color=BLUE, label="accuracy", **width)
    ax.hlines(
        *(table["confidence"], table["low"], table["high"]),
        **{"color": ORANGE, "lw": 2.5, "label": "mean confidence"},
    )
    ax.plot([0, 1], [0, 1], color="black", ls="--", lw=1)
    ax.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    ax.set_title(", ".join(filter(None, [title, f"ECE {100 * found.ece:.1f} %"])))
    ax.legend(loc="upper left")
    below.bar(table["low"], table["utterances"], color=GREY, **width)
    below.set(xlabel="confidence", ylabel="utterances")
    return figure


def _pair(row: dict) -> str:
    """Source and target, with the scoring or the labels where these are not the usual ones."""
    return place_of(row) + ("" if _scored(row) == "transductive" else f" ({_scored(row)})")


def _scored(row: dict) -> str:
    return row.get("protocol") or "transductive"


@styled
def heat_map(
    table: pd.DataFrame, metric: str = "uar", chance: float = 20.0, title: str = ""
) -> Figure:
    """Draw pairs x methods: the score as colour and number, half its 95 % interval below.

    Parameters
    ----------
    table
        From `tables.ours_beside_published(runs, "transfer")`, or some rows of it.
    metric
        ``"uar"`` or ``"war"``.
    chance
        Score of a guess in percent, where the colours begin.
    title
        Of the figure.
    """
    table = table[table["source"] != "mean"]
    _check_rows(table, "pairs")
    rows = table.to_dict("records")
    labels = [_label(row) for row in rows]
    names = [name_of(method) for method in table["method"]]
    plain = not any(", " in label for label in labels)  # a condition is never left unsaid
    if plain and len(set(labels)) == len(set(names)):  # nor are two methods taken for one
        labels = names
    table = table.assign(
        method=labels,
        pair=[_pair(row) for row in rows],
        half=(table[f"{metric}_high"] - table[f"{metric}_low"]) / 2,
    )
    grid = {"index": "pair", "columns": "method", "sort": False, "dropna": False}
    scores = table.pivot_table(metric, **grid)
    scores = scores[scores.mean().sort_values().index]
    halves = table.pivot_table("half", **grid).reindex_like(scores)
    if len(scores) > 1 and len(set(map(_scored, rows))) == 1:  # else means would not compare
        scores.loc["mean"] = scores.mean(skipna=False)
        halves.loc["mean"] = np.nan
    texts = scores.map("{:.1f}".format) + halves.map("\n±{:.1f}".format)
    texts = texts.replace({r"\n±nan": "", r"^nan$": ""}, regex=True)
    figure, axes = panels(1, 1, 2.6 + 0.85 * scores.shape[1], 1.8 + 0.52 * len(scores))
    ax = axes[0][0]
    sns.heatmap(
        scores,
        **{"annot": texts, "vmin": chance, "fmt": "", "cmap": "viridis", "ax": ax, "linewidths": 1},
        **{"annot_kws": {"fontsize": 9}, "cbar_kws": {"label": f"{metric.upper()} %"}},
    )
    if len(scores) > 1:
        ax.axhline(len(scores) - 1, color="black", lw=1.5)
    ax.set_facecolor("#eeeeee")
    ax.set_xticklabels(ax.get_xticklabels(), rotation=35, ha="right", rotation_mode="anchor")
    ax.tick_params(length=0)
    ax.set(xlabel="", ylabel="", title=title)
    return figure


def _check_rows(table: pd.DataFrame, what: str) -> None:
    if table.empty:
        raise StudyError(f"figure: expected {what} to draw; got an empty frame")
