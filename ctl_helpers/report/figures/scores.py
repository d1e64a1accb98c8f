"""Figures of results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix as count_confusions

from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.figures.dots import Dot, Panel, dot_plot
from ctl_helpers.report.figures.style import BLUE, GREEN, GREY, ORANGE, colour_of, panels, styled
from ctl_helpers.results.naming import DAGGER, OURS, label_of, name_of, part_of, place_of, title_of
from ctl_helpers.results.runs import grouped
from ctl_helpers.results.statistics import calibration
from ctl_helpers.results.summaries import pooled_interval

_BEST: dict[str, Any] = {"colour": ORANGE, "hollow": True}
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
    _check_rows(predictions, "predictions")
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
    _check_rows(history, "history")
    measured = {c: look for c, look in _CURVES.items() if c in history and history[c].notna().any()}
    kinds = list(dict.fromkeys(look[0] for look in measured.values()))
    figure, axes = panels(1, len(kinds), 5.0, 3.3)
    for column, (kind, label, colour, line) in measured.items():
        ax, scale = axes[0][kinds.index(kind)], 1 if kind == "loss" else 100
        values = history[["epoch", column]].assign(score=scale * history[column])
        look = {"color": colour, "ls": line, "label": label, "err_kws": {"alpha": 0.18, "lw": 0}}
        seaborn.lineplot(values, x="epoch", y="score", errorbar="sd", ax=ax, **look)
        ax.set(xlabel="epoch", ylabel=kind, ylim=(0, None if kind == "loss" else 100))
    for ax, kind in zip(axes[0], kinds, strict=True):
        ax.grid()
        ax.margins(x=0.01)
        ax.legend(loc="upper right" if kind == "loss" else "lower right")
    runs = history["run"].nunique() if "run" in history else 1
    band = f"mean of {runs} runs, band: one standard deviation" if runs > 1 else "one run"
    figure.suptitle(f"{title} ({band})" if title else band[0].upper() + band[1:])
    return figure


@styled
def recall_per_speaker(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw the UAR of each speaker with its 95 % interval, the weakest at the bottom."""
    _check_rows(predictions, "predictions")
    table = tables.per_speaker(predictions).assign(colour=BLUE)
    who = table["speaker"].replace("", "unknown") + (" (" + table["sex"] + ")").replace(" ()", "")
    return _recalls(table.assign(who=who), "uar", predictions, title)


@styled
def recall_per_emotion(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw the recall of each emotion with its 95 % interval, the weakest at the bottom."""
    _check_rows(predictions, "predictions")
    table = tables.per_emotion(predictions)
    colours = [colour_of(emotion, i) for i, emotion in enumerate(table["emotion"])]
    table = table.assign(who=table["emotion"], colour=colours)
    return _recalls(table, "recall", predictions, title)


def _recalls(table: pd.DataFrame, score: str, predictions: pd.DataFrame, title: str) -> Figure:
    columns = [score, f"{score}_low", f"{score}_high", "colour"]
    table = table.sort_values(score, ascending=False)
    labels = table["who"] + ", n = " + table["utterances"].astype(str)
    rows = [(label, [Dot(*dot)]) for label, dot in zip(labels, table[columns].values, strict=True)]
    pooled = 100 * pooled_interval(predictions, "uar").value
    label = f"{tables.HEADINGS[score]} (bars: 95 % intervals; dashed: UAR of all, {pooled:.1f})"
    return dot_plot([Panel(title, rows, {pooled: "--"})], label)


def _dot(row: dict, metric: str = "uar", **look) -> Dot:
    """Make a dot with the interval over folds or seeds, or else over utterances."""
    if row["reported_by"] != OURS:
        look = {"colour": GREY, "marker": "D", "legend": "published"}
    look |= {"thin": pd.isna(row[f"{metric}_low"]), "hollow": bool(row["optimistic"])}
    return Dot(*tables.interval_of(row, metric), **look)


@styled
def comparison(table: pd.DataFrame, metric: str = "uar", title: str = "") -> Figure:
    """Compare methods: a panel per place (corpus or pair, protocol, labels), chance dotted.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`; published scores have no intervals and are grey,
        optimistic ones hollow. Inside corpora each panel has its methods, the best first. Across
        corpora panels stand side by side and have all methods in the order of their means.
    metric
        ``"uar"`` or ``"war"``.
    title
        Of the figure.
    """
    _check_rows(table, "scores")
    table = table[table["source"] != "mean"]
    across = bool((table["source"] != "").all())
    rows = table.to_dict("records")
    parts = [f" ({part})" if (part := part_of(row)) else "" for row in rows]
    labels = [label_of(row) + part for row, part in zip(rows, parts, strict=True)]
    table = table.assign(label=labels)
    means = table.groupby("label")[metric].mean().sort_values(ascending=False)
    plots = []
    for _, group in table.groupby(tables.PLACE, sort=False):
        rows = group.sort_values(metric, ascending=False).to_dict("records")
        dots = {row["label"]: [_dot(row, metric, legend=OURS)] for row in rows}
        if across:
            dots = {label: dots.get(label, []) for label in means.index}
        said = [place_of(rows[0]), name_of(rows[0]["protocol"]), rows[0]["labels"]]
        name = ", ".join(word for word in said if word not in ("transductive", "emotion"))
        plots.append(Panel(name, list(dots.items()), {tables.chance_of(rows[0]): ":"}))
    marks = "dotted: chance; bars: 95 %, thin ones over utterances"
    if table["optimistic"].any():
        marks += f"; hollow, {DAGGER}: epoch picked on the test part"
    columns = min(3, len(plots)) if across else 1
    label = f"{metric.upper()} % ({marks})"
    return dot_plot(plots, label, title, columns=columns)


@styled
def overview(table: pd.DataFrame, most: int = 12, title: str = "") -> Figure:
    """Compare shuffled folds with held-out speakers: a panel per corpus, a row per method.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`; see `tables.glance` for what is shown of it.
    most
        Rows of a panel.
    title
        Of the figure.
    """
    looks = {
        tables.SHUFFLED: {"colour": BLUE, "legend": "shuffled folds"},
        tables.HELD_OUT: {"colour": ORANGE, "legend": "speakers held out"},
    }
    plots = []
    for corpus, rows, chance in tables.glance(table, most):
        dots = [
            (label, [_dot(row, **looks[how]) for how, row in scores.items()])
            for label, scores in rows
        ]
        plots.append(Panel(name_of(corpus), dots, {chance: ":"}))
    label = "UAR % (dotted: chance; bars: 95 % intervals)"
    return dot_plot(plots, label, title, joined=True)


@styled
def verdicts(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw every claim beside what came out; see `verdict.verdict` for the table."""
    rows = []
    for row in table.to_dict("records"):
        ours = [Dot(row["last"], row["last_low"], row["last_high"], legend="ours, last epoch")]
        if pd.notna(row["best_test"]):
            ours.append(Dot(row["best_test"], legend=f"ours, best test epoch {DAGGER}", **_BEST))
        ours.append(Dot(row["published"], colour=GREY, marker="D", legend="published"))
        rows.append((f"{row['claim']} ({row['recipe']}): {row['verdict']}", ours))
    return dot_plot([Panel(title, rows)], "UAR % (bars: 95 % intervals over folds or seeds)")


@styled
def gap(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw the last epoch's score and what picking the epoch on the test part adds.

    Parameters
    ----------
    table
        From `comparisons.gap`.
    title
        Of the figure.
    """
    rows = []
    for row in table.to_dict("records"):
        best = Dot(row["best_test"], legend=f"best test epoch {DAGGER}", **_BEST)
        dots = [Dot(row["last"], legend="last epoch"), best]
        rows.append((f"{title_of(row)}: {row['metric']}, {row['gap']:+.1f}", dots))
    return dot_plot([Panel(title, rows)], "score %", joined=True)


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
    plots = []
    table = table.sort_values("difference", ascending=False, kind="stable")
    keys = ["source", "target", "protocol", "labels", "recipe", "normalisation"]
    for place, group in sorted(grouped(table, keys), key=lambda one: place_of(one[0])):
        rows = []
        for row in group.to_dict("records"):
            low, high = (row.get(f"pooled_difference_{end}", np.nan) for end in ("low", "high"))
            dots = [Dot(row["difference"], low, high, thin=True)]
            dots += [Dot(row["difference"], row["difference_low"], row["difference_high"])]
            rows.append((name_of(row["method"]), dots))
        said = [place_of(place), *(place[key] for key in keys[2:])]
        name = ", ".join(word for word in said if word not in ("", "emotion", "none"))
        plots.append(Panel(name, rows, {0.0: "-"}))
    label = "points of UAR over source only (bars: 95 %; thick over seeds, thin over utterances)"
    return dot_plot(plots, label, title, limits=(-100.0, 100.0))


@styled
def reliability(predictions: pd.DataFrame, bins: int = 10, title: str = "") -> Figure:
    """Draw a reliability diagram: does a confidence of 80 % mean right in 80 % of the cases.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, with columns p_<emotion>.
    bins
        Number of bins of equal width.
    title
        Of the figure.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    _check_rows(predictions, "predictions")
    ece, table = calibration(predictions, bins)
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
    ax.set_title(", ".join(filter(None, [title, f"ECE {100 * ece:.1f} %"])))
    ax.legend(loc="upper left")
    below.bar(table["low"], table["utterances"], color=GREY, **width)
    below.set(xlabel="confidence", ylabel="utterances")
    return figure


def _check_rows(table: pd.DataFrame, what: str) -> None:
    if table.empty:
        raise StudyError(f"figure: expected {what} to draw; got an empty frame")
