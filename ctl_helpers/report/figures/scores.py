"""Figures of results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix as count_confusions

from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.figures.dots import Dot, dot_plot
from ctl_helpers.report.figures.style import BLUE, GREEN, GREY, ORANGE, colour_of, panels, styled
from ctl_helpers.results.naming import DAGGER, OURS, label_of, name_of, part_of, place_of, title_of
from ctl_helpers.results.statistics import calibration
from ctl_helpers.results.summaries import pooled_interval

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
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.7 + 0.68 * len(names)
    figure, axes = panels(1, 1, size + 0.6, size)
    ax = axes[0][0]
    image = ax.imshow(100 * rates, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    figure.colorbar(image, ax=ax, label="% of the true emotion", shrink=0.8)
    for (row, column), rate in np.ndenumerate(rates):
        place = {"ha": "center", "color": "white" if rate > 0.55 else "black"}
        ax.text(column, row - 0.03, f"{100 * rate:.0f}", va="bottom", fontsize=11, **place)
        ax.text(column, row + 0.08, f"{counts[row, column]}", va="top", fontsize=7.5, **place)
    ax.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(names)), names)
    ax.set_xticks(np.arange(len(names) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(names) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
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
        values = history.groupby("epoch")[column].agg(["mean", "std"])
        values = scale * values.dropna(subset="mean").fillna(0.0)
        ends = [values["mean"] - values["std"], values["mean"] + values["std"]]
        low, high = (end.clip(0, 100 if kind != "loss" else None) for end in ends)
        ax.plot(values.index, values["mean"], line, color=colour, label=label)
        ax.fill_between(values.index, low, high, color=colour, alpha=0.18, lw=0)
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
    table = tables.per_speaker(predictions).sort_values("uar", ascending=False)
    rows = [
        (
            f"{row.speaker or 'unknown'}{f' ({row.sex})' if row.sex else ''}, n = {row.utterances}",
            [Dot(row.uar, row.uar_low, row.uar_high)],
        )
        for row in table.itertuples()
    ]
    return _recalls(rows, "UAR %", predictions, title)


@styled
def recall_per_emotion(predictions: pd.DataFrame, title: str = "") -> Figure:
    """Draw the recall of each emotion with its 95 % interval, the weakest at the bottom."""
    _check_rows(predictions, "predictions")
    table = tables.per_emotion(predictions).sort_values("recall", ascending=False)
    rows = [
        (
            f"{row.emotion}, n = {row.utterances}",
            [Dot(row.recall, row.recall_low, row.recall_high, colour_of(row.emotion, i))],
        )
        for i, row in enumerate(table.itertuples())
    ]
    return _recalls(rows, "recall %", predictions, title)


def _recalls(rows: list, unit: str, predictions: pd.DataFrame, title: str) -> Figure:
    pooled = 100 * pooled_interval(predictions, "uar").value
    label = f"{unit} (bars: 95 % intervals; dashed: UAR of all, {pooled:.1f})"
    return dot_plot([(title, rows)], label, vertical={pooled: "--"})


def _dot(row: dict, metric: str = "uar", **look) -> Dot:
    """Make a dot with the interval over folds or seeds, or else over utterances."""
    thin = pd.isna(row[f"{metric}_low"])
    name = f"pooled_{metric}" if thin and f"pooled_{metric}_low" in row else metric
    ends = [row[f"{name}_low"], row[f"{name}_high"]]
    if row["reported_by"] != OURS:
        look = {"colour": GREY, "marker": "D", "legend": "published"}
    return Dot(row[metric], ends[0], ends[1], thin=thin, hollow=bool(row["optimistic"]), **look)


def chance_of(row: dict) -> float:
    """UAR of a guess among a row's classes, in percent."""
    return 100 / len(row["classes"].split(", "))


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
    table = table.assign(label=[_label(row) for row in table.to_dict("records")])
    means = table.groupby("label")[metric].mean().sort_values(ascending=False)
    plots, chances = [], []
    for _, group in table.groupby(tables.PLACE, sort=False):
        rows = group.sort_values(metric, ascending=False).to_dict("records")
        dots = {row["label"]: [_dot(row, metric, legend=OURS)] for row in rows}
        if across:
            dots = {label: dots.get(label, []) for label in means.index}
        said = [place_of(rows[0]), name_of(rows[0]["protocol"]), rows[0]["labels"]]
        name = ", ".join(word for word in said if word not in ("transductive", "emotion"))
        plots.append((name, list(dots.items())))
        chances.append({chance_of(rows[0]): ":"})
    marks = "dotted: chance; bars: 95 %, thin ones over utterances"
    if table["optimistic"].any():
        marks += f"; hollow, {DAGGER}: epoch picked on the test part"
    columns = min(3, len(plots)) if across else 1
    label = f"{metric.upper()} % ({marks})"
    return dot_plot(plots, label, title, vertical=chances, columns=columns)


def _label(row: dict) -> str:
    return label_of(row) + (f" ({part})" if (part := part_of(row)) else "")


@styled
def overview(table: pd.DataFrame, most: int = 12, title: str = "") -> Figure:
    """Compare shuffled folds with held-out speakers: a panel per corpus, a row per method.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`; see `glance` for what is shown of it.
    most
        Rows of a panel.
    title
        Of the figure.
    """
    plots, chances = [], []
    for corpus, rows, chance in glance(table, most):
        lines = []
        for label, scores in rows:
            dots = []
            for condition, row in scores.items():
                colour = BLUE if condition == tables.SHUFFLED else ORANGE
                words = {"shuffled": "shuffled folds", "held out": "speakers held out"}
                dots.append(_dot(row, colour=colour, legend=words[condition]))
            lines.append((label, dots))
        plots.append((name_of(corpus), lines))
        chances.append({chance: ":"})
    label = "UAR % (dotted: chance; bars: 95 % intervals)"
    return dot_plot(plots, label, title, vertical=chances, joined=True)


def glance(
    table: pd.DataFrame, most: int = 12
) -> list[tuple[str, list[tuple[str, dict[str, dict]]], float]]:
    """Pick what a first look shows of each corpus, the best method first.

    Parameters
    ----------
    table
        From `tables.ours_beside_published`.
    most
        Rows of a corpus: the published methods, the best of ours under either condition, networks
        and fusions by their scores, then the others.

    Returns
    -------
    list of tuple
        Corpus; its rows: label, and by condition (shuffled, held out) the row of the table;
        chance in percent. Optimistic rows, and label sets other than emotions, are left out.
    """
    inside = table[(table["corpus"] != "") & ~table["optimistic"].eq(True)]
    inside = inside[inside["labels"].eq("emotion")]
    found = []
    for corpus, group in inside.groupby("corpus", sort=False):
        rows: dict[str, dict[str, dict]] = {}
        for row in group.to_dict("records"):
            condition = tables.condition_of(row["protocol"])
            if condition in (tables.SHUFFLED, tables.HELD_OUT):
                rows.setdefault(label_of(row), {}).setdefault(condition, row)
        if rows:
            ranked = sorted(rows, key=lambda label: -max(r["uar"] for r in rows[label].values()))
            first = sorted(ranked, key=lambda label: _rank(label, rows))[:most]
            chance = chance_of(group.iloc[0])
            found.append(
                (corpus, [(label, rows[label]) for label in ranked if label in first], chance)
            )
    return found


def _rank(label: str, rows: dict[str, dict[str, dict]]) -> int:
    """Say how early a method is picked for a first look."""
    mine = next(iter(rows[label].values()))
    if mine["reported_by"] != OURS:
        return 0
    for condition, row in rows[label].items():
        ours = [other[condition] for other in rows.values() if condition in other]
        if row["uar"] >= max(one["uar"] for one in ours if one["reported_by"] == OURS):
            return 0
    return 2 if mine["kind"] == "shallow" else 1


@styled
def verdicts(table: pd.DataFrame, title: str = "") -> Figure:
    """Draw every claim beside what came out; see `verdict.verdict` for the table."""
    rows = []
    for row in table.to_dict("records"):
        ours = [Dot(row["last"], row["last_low"], row["last_high"], legend="ours, last epoch")]
        if pd.notna(row["best_test"]):
            look: dict[str, Any] = {
                "colour": ORANGE,
                "hollow": True,
                "legend": f"ours, best test epoch {DAGGER}",
            }
            ours.append(Dot(row["best_test"], **look))
        ours.append(Dot(row["published"], colour=GREY, marker="D", legend="published"))
        rows.append((f"{row['claim']} ({row['recipe']}): {row['verdict']}", ours))
    return dot_plot([(title, rows)], "UAR % (bars: 95 % intervals over folds or seeds)")


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
        best: dict[str, Any] = {
            "colour": ORANGE,
            "hollow": True,
            "legend": f"best test epoch {DAGGER}",
        }
        dots = [Dot(row["last"], legend="last epoch"), Dot(row["best_test"], **best)]
        rows.append((f"{title_of(row)}: {row['metric']}, {row['gap']:+.1f}", dots))
    return dot_plot([(title, rows)], "score %", joined=True)


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
    keys = ["source", "target", "protocol", "labels", "recipe", "normalisation"]
    for key, group in table.groupby(keys, sort=False):
        rows = []
        for row in group.sort_values("difference", ascending=False).to_dict("records"):
            ends = [row.get(f"pooled_difference_{end}", np.nan) for end in ("low", "high")]
            value = row["difference"]
            dots = [Dot(value, ends[0], ends[1], thin=True)]
            dots += [Dot(value, row["difference_low"], row["difference_high"])]
            rows.append((name_of(row["method"]), dots))
        said = [place_of(group.iloc[0]), *key[2:5], key[5].replace("none", "")]
        name = ", ".join(word for word in said if word and word != "emotion")
        plots.append((name, rows))
    label = "points of UAR over source only (bars: 95 %; thick over seeds, thin over utterances)"
    return dot_plot(plots, label, title, vertical={0.0: "-"}, limits=(-100.0, 100.0))


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
