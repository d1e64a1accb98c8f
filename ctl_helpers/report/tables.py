"""Tables: results as people ask for them.

Frames hold scores in **percent** as plain numbers, a score ``x`` with its 95 % interval in the
columns ``x_low`` and ``x_high``. `cells` turns them into text.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.corpora.audit import UNNAMED
from ctl_helpers.features import SECONDS
from ctl_helpers.results import naming
from ctl_helpers.results.published import published_beside
from ctl_helpers.results.runs import (
    CONDITION,
    OPTIMISTIC,
    PLACE,
    SPEAKERS_APART,
    grouped,
    predicted_by,
)
from ctl_helpers.results.statistics import Interval, calibration, proportion_interval
from ctl_helpers.results.summaries import pooled_interval, summary

SHUFFLED, HELD_OUT = "shuffled", "held out"
_PROTOCOLS = {"grouped": "groups held out", "stratified": "shuffled, stratified"}
_PROTOCOLS |= {"strangers": "speakers and sentences held out"}
_COUNTS = ("utterances", "of_utterances", "folds", "of_folds", "seeds")
_WORDS, _SAID = [*CONDITION, "kind", "selection"], ["reported_by", "citation", "note"]


def ours_beside_published(
    runs: pd.DataFrame, predictions: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Put this study's scores beside the published ones of the same places and classes.

    Parameters
    ----------
    runs
        From `runs.load_runs`; inside corpora, across, or both.
    predictions
        From `runs.load_predictions`; they add the pooled UAR with its interval.

    Returns
    -------
    pandas.DataFrame
        Rows grouped by place (corpus, or source and target; protocol; label set), the published
        first; scores in percent with their intervals; ``optimistic`` rows get a dagger in
        `cells.as_text`; reported_by, citation and note say where a number comes from.
    """
    theirs = published_beside(runs).assign(optimistic=False, selection="last", order=0)
    ours = summary(runs, predictions)
    percent = [c for c in ours if c.startswith(("uar", "war", "pooled_"))]
    ours[percent] = 100 * ours[percent].astype(float)
    ours["order"] = 1 + ours["kind"].eq("shallow")
    ours = naming.named_apart(ours).assign(reported_by=naming.OURS)
    # An empty frame beside a full one would make pandas guess the columns' types.
    parts = [part for part in (theirs, ours) if len(part)] or [ours]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values([*PLACE, "order"], kind="stable", ignore_index=True)
    scores = ["uar", "war"] if predictions is None else ["uar", "war", "pooled_uar"]
    numbers = [f"{score}{end}" for score in scores for end in ("", "_low", "_high")]
    types: dict[str, Any] = dict.fromkeys(numbers, float) | dict.fromkeys(_COUNTS, "Int64")
    types["optimistic"] = bool
    words = dict.fromkeys([*_WORDS, *_SAID], "")
    table = table.reindex(columns=[*_WORDS, *types, *_SAID]).astype(types)
    return table.astype(dict.fromkeys(words, object)).fillna(words)


def condition_of(protocol: str) -> str:
    """Say whether a protocol shuffles utterances, holds speakers out, or neither for certain."""
    if protocol in ("kfold", "stratified"):
        return SHUFFLED
    return HELD_OUT if protocol in SPEAKERS_APART else naming.name_of(protocol)


def at_a_glance(table: pd.DataFrame) -> pd.DataFrame:
    """Rearrange `ours_beside_published`: a row per method, a column per place and condition.

    Parameters
    ----------
    table
        Inside corpora (columns ``EmoDB, shuffled``, ``EmoDB, held out``, ``EmoDB, held out, per
        speaker``, ...) or across (a column per pair, then the mean over all pairs of single
        corpora, for methods that ran on each).

    Returns
    -------
    pandas.DataFrame
        Columns method, the best first, and reported_by, then strings: the score in percent, with
        how much of the protocol ran where it is not all of it. Scores that need speech of the test
        voices stand in columns of their own, and so do other sets of classes; those that need some
        seconds of a voice are left out.
    """
    table = _with_means(table[~table["normalisation"].isin(SECONDS)])
    of_one = table.groupby(["corpus", "source", "target", "labels"])["classes"]
    several = of_one.transform("nunique") > 1
    rows = [_placed(*row) for row in zip(table.to_dict("records"), several, strict=True)]
    cells = table.assign(column=[row["column"] for row in rows])
    cells = cells.assign(method=[*map(naming.label_of, rows)], score=[*map(_score, rows)])
    order = {row["column"]: row["rank"] for row in rows}
    columns = sorted(order, key=lambda column: order[column])
    cells = _one_each(cells, ["method", "column"])
    keys = ["method", "reported_by"]
    wide = cells.pivot(index=keys, columns="column", values="score")
    wide = wide.reindex(index=cells.set_index(keys).index.unique(), columns=columns).fillna("")
    return wide.rename_axis(columns=None).reset_index()


def _with_means(table: pd.DataFrame) -> pd.DataFrame:
    """Add to our methods that ran on all pairs of single corpora a row with the mean over them."""
    single = ~(table["source"] + table["target"]).str.contains("+", regex=False)
    pairs = table[single & table["source"].ne("") & table["reported_by"].eq(naming.OURS)]
    count = pairs.groupby(["source", "target"]).ngroups
    if count < 2:
        return table
    keys = [*(key for key in CONDITION if key not in ("source", "target")), "selection"]
    scores = pairs.groupby(keys)["uar"]
    where = {"source": "mean", "target": f"mean of {count} pairs"}
    means = pairs.assign(uar=scores.transform("mean"), **where)
    return pd.concat([table, means[scores.transform("size").eq(count)].drop_duplicates(keys)])


def _placed(row: dict, several: bool) -> dict:
    """Add the column that a row's score stands in, and what columns are sorted by."""
    condition = condition_of(row["protocol"])
    own = naming.said_of(row["normalisation"]) if row["corpus"] else ""
    if own:  # the column says it
        row = row | {"normalisation": ""}
    count = len(row["classes"].split(", "))
    words = [_PROTOCOLS.get(row["protocol"], condition), own, f"{count} classes" * several]
    rank = (row["source"] == "mean", naming.place_of(row), condition != SHUFFLED, own, count)
    return row | {"column": naming.title_of(row, *words), "rank": rank}


def _one_each(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Keep one row per key, that of the most utterances, whatever its score; the best first."""
    table = table.sort_values("utterances", ascending=False, kind="stable").drop_duplicates(keys)
    return table.sort_index().sort_values("uar", ascending=False, kind="stable")


def _score(row: dict) -> str:
    """Write a score with how much of its protocol ran."""
    part = naming.part_of(row).replace(" folds", "")
    return f"{row['uar']:.1f}" + (f" ({part})" if part else "")


def chance_of(row: dict) -> float:
    """UAR of a guess among a row's classes, in percent."""
    return 100 / len(row["classes"].split(", "))


def interval_of(row: dict) -> Interval:
    """Return a row's UAR with its interval over folds or seeds, of one fold that of pooled UAR."""
    name = "uar"
    if pd.isna(row["uar_low"]) and pd.notna(row.get("pooled_uar")) and row["folds"] == 1:
        name = "pooled_uar"  # it is the same score
    return Interval(row["uar"], row[f"{name}_low"], row[f"{name}_high"])


def first_look(table: pd.DataFrame, most: int = 12) -> pd.DataFrame:
    """Pick what a first look shows of each corpus, the best method first.

    Parameters
    ----------
    table
        From `ours_beside_published`.
    most
        Methods of a corpus: the published ones, the best of ours under each condition (with and
        without speech of the test voices; a fusion, and one that is none), those that test the
        published ones, CPAC by other recipes, networks and fusions by their scores, then others.

    Returns
    -------
    pandas.DataFrame
        Rows of the table in the order of corpora, with columns label and condition (shuffled, held
        out). A label says how much of the protocol ran where it is not all, and names it where a
        corpus has several of one condition and it is neither ``kfold`` nor ``loso``. Optimistic
        rows, label sets other than emotions, and of a corpus with several sets of classes all but
        the one of most rows are left out.
    """
    labels = [naming.label_with_part_of(row) for row in table.to_dict("records")]
    table = table.assign(label=labels, condition=table["protocol"].map(condition_of))
    table = table[table["condition"].isin([SHUFFLED, HELD_OUT]) & ~table["optimistic"].eq(True)]
    table = table[(table["corpus"] != "") & table["labels"].eq("emotion")]
    table = table[~table["normalisation"].isin([*SECONDS, "corpus"])]
    classes = table.groupby("corpus")["classes"]
    table = table[table["classes"].eq(classes.transform(lambda found: found.mode()[0]))]
    several = table.groupby(["corpus", "condition"])["protocol"].transform("nunique") > 1
    named = several & ~table["protocol"].isin(["kfold", "loso"])
    table["label"] += (", " + table["protocol"].map(naming.name_of)).where(named, "")
    table = _one_each(table, ["corpus", "label", "condition"])
    ours = table["reported_by"] == naming.OURS
    asked = table.assign(ours=ours, own=table["normalisation"].eq("speaker"))
    asked["fused"] = table["kind"].eq("fusion")
    best = ~asked.duplicated(["corpus", "condition", "own", "ours", "fused"])
    tested = tests_published(table) & table["normalisation"].ne("speaker")
    kinds = [~ours | best, tested, table["method"].eq("cpac"), table["kind"].ne("shallow")]
    rank = np.select(kinds, range(4), 4)
    methods = [table["corpus"], table["label"]]
    first = pd.Series(rank, table.index).groupby(methods, sort=False).min()
    first = first.sort_values(kind="stable").groupby("corpus").head(most).index
    table = table[pd.MultiIndex.from_arrays(methods).isin(first)]
    return table.sort_values("corpus", kind="stable", ignore_index=True)


def tests_published(table: pd.DataFrame) -> np.ndarray:
    """Say of each row whether it is of a method and recipe that test a published number."""
    tested = {(method, name) for method, *names in naming.TESTED_BY.values() for name in names}
    return np.array([one in tested for one in zip(table["method"], table["recipe"], strict=True)])


def side_by_side(table: pd.DataFrame) -> pd.DataFrame:
    """Set the UAR with shuffled folds beside that with held-out speakers.

    Parameters
    ----------
    table
        From `ours_beside_published`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus and label that has both, all folds of each; columns `SHUFFLED` and
        `HELD_OUT`, in percent.
    """
    both = _whole(table).pivot(index=["corpus", "label"], columns="condition", values="uar")
    return both.reindex(columns=[SHUFFLED, HELD_OUT]).dropna()


def best_for_voices(table: pd.DataFrame) -> pd.DataFrame:
    """Find the best UAR of ours for held-out speakers, with and without speech of theirs.

    Parameters
    ----------
    table
        From `ours_beside_published`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus that has both on the same folds, by the protocol of most methods; columns
        False and True, whether unlabelled speech of these speakers is used, in percent.
    """
    scores = _whole(table).query("condition == @HELD_OUT and reported_by == @naming.OURS")
    folds = ["corpus", "protocol", "of_folds"]
    best = scores.groupby([*folds, scores["normalisation"].eq("speaker")])["uar"].max()
    best = best.unstack().reindex(columns=[False, True]).dropna()
    methods = scores.groupby(folds).size()[best.index]
    most = methods.sort_values(ascending=False, kind="stable").groupby("corpus").head(1)
    return best.loc[most.index].droplevel(folds[1:]).sort_index()


def _whole(table: pd.DataFrame) -> pd.DataFrame:
    """Pick as `first_look` does, all methods, the rows whose protocol ran as a whole."""
    whole = [not naming.part_of(row) for row in table.to_dict("records")]
    return first_look(table[np.array(whole, bool)], most=len(table))


def scores_by(predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Score each emotion or each speaker of one condition.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`, of one condition; it may hold several seeds.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        corpus, emotion, utterances, recall with Wilson's interval, precision and F1; or corpus,
        speaker, sex, utterances, UAR with its bootstrap interval and WAR with Wilson's. In percent.
    """
    rows = []
    for row, part in grouped(predictions.sort_values(["corpus", by]), ["corpus", by]):
        utterances, count = part["utterance"].nunique(), len(part)  # each may be tested again
        hits = (part["emotion"] == part["predicted"]).sum()
        share = proportion_interval(hits / count * utterances, utterances)
        if by == "speaker":
            row |= {"sex": part["sex"].iloc[0], "utterances": utterances}
            row |= pooled_interval(part).columns("uar") | share.columns("war")
        else:
            where = predictions["corpus"] == row["corpus"]
            called = (predictions["predicted"][where] == row["emotion"]).sum()
            row |= {"utterances": utterances} | share.columns("recall")
            row["precision"] = 100 * hits / called if called else np.nan
            row["f1"] = 200 * hits / (count + called)
        rows.append(row)
    return pd.DataFrame(rows)


def recalls(runs: pd.DataFrame, predictions: pd.DataFrame, by: str = "emotion") -> pd.DataFrame:
    """Lay the recall of every emotion, or the UAR of every speaker, of all methods side by side.

    Parameters
    ----------
    runs
        From `runs.load_runs`, of one corpus; optimistic rows are left out.
    predictions
        From `runs.load_predictions`.
    by
        ``"emotion"`` or ``"speaker"``.

    Returns
    -------
    pandas.DataFrame
        A row per condition, a column per emotion or speaker, in percent.
    """
    rows = []
    for row, mine in _conditions(runs, predictions):
        keys = [mine[key].replace("", UNNAMED) for key in dict.fromkeys([by, "emotion"])]
        recall = mine["emotion"].eq(mine["predicted"]).groupby(keys).mean()
        rows.append(row | (100 * recall.groupby(level=0).mean()).to_dict())
    return pd.DataFrame(rows)


def confidences(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Say how well the networks' probabilities are calibrated.

    Parameters
    ----------
    runs
        From `runs.load_runs`; optimistic rows are left out, and so are shallow methods and fusions,
        whose probabilities are not meant as such.
    predictions
        From `runs.load_predictions`.

    Returns
    -------
    pandas.DataFrame
        Per condition: WAR, mean confidence and expected calibration error, in percent.
    """
    rows, meant = [], runs[~runs["kind"].isin(("shallow", "fusion"))]
    for row, mine in _conditions(meant, predictions):
        row["war"] = 100 * (mine["emotion"] == mine["predicted"]).mean()
        row["confidence"] = 100 * mine.filter(regex="^p_").max(axis=1).mean()
        row["ece"] = 100 * calibration(mine)[0]
        rows.append(row | {"utterances": mine["utterance"].nunique()})
    return pd.DataFrame(rows)


def _conditions(
    runs: pd.DataFrame, predictions: pd.DataFrame
) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Each condition that is not optimistic, in words, and its predictions."""
    runs = naming.named_apart(runs[runs["selection"] != OPTIMISTIC])
    runs = runs.sort_values(["corpus", "protocol", "kind"], kind="stable")
    for row, group in grouped(runs, [*CONDITION, "selection"]):
        mine = predicted_by(group, predictions)
        if len(mine):
            yield row, mine
