"""Summaries: a row per condition, every score with its interval."""

import numpy as np
import pandas as pd

from ctl_helpers.results.runs import CONDITION, OPTIMISTIC, grouped, predicted_by
from ctl_helpers.results.statistics import Interval, bootstrap_interval, mean_interval

_SCORES = ("uar", "war", "pooled_uar")
SUMMARY_COLUMNS = [
    *(*CONDITION, "kind", "selection", "variant", "optimistic"),
    *(f"{score}{end}" for score in _SCORES for end in ("", "_low", "_high")),
    *("utterances", "of_utterances", "folds", "of_folds", "seeds", "runs"),
]


def summary(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Summarise runs: a row per condition, each score with its 95 % interval.

    Parameters
    ----------
    runs
        From `runs.load_runs`.
    predictions
        From `runs.load_predictions`; without them ``pooled_uar`` is NaN.

    Returns
    -------
    pandas.DataFrame
        The condition (corpus or source and target, protocol, labels, classes, method, recipe,
        normalisation), kind, selection, variant; ``optimistic``, True where the epoch was picked
        on the test part; uar, war: mean over folds of the mean over seeds, with ``_low`` and
        ``_high`` by `fold_interval`, NaN for fewer than three; ``pooled_uar`` over all utterances
        at once, mean over seeds, with a bootstrap interval over utterances, or over speakers where
        these are held out and across corpora; utterances (tested, in one seed) and folds, each
        with ``of_``, how many the whole protocol has; seeds, runs. Scores are fractions.
    """
    rows = []
    for row, group in grouped(runs, [*CONDITION, "kind", "selection", "variant"]):
        row["optimistic"] = row["selection"] == OPTIMISTIC
        for metric in ("uar", "war"):
            row |= fold_interval(group, metric).columns(metric, 1)
        row |= _pooled(group, predictions) | extent(group)
        row["utterances"] = int(group.drop_duplicates("split")["utterances"].sum())
        row["of_utterances"] = group["of_utterances"].astype(float).max()
        rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def costs(runs: pd.DataFrame) -> pd.DataFrame:
    """Add up what the trainings took.

    Parameters
    ----------
    runs
        From `runs.load_runs`; fusions, which train nothing, are left out.

    Returns
    -------
    pandas.DataFrame
        A row per method, as a study file names it, the longest first: runs, seconds of a run (the
        median), and core hours of all of them.
    """
    each = runs[runs["kind"] != "fusion"].drop_duplicates("run")
    recipe = ("/" + each["recipe"]).where(each["recipe"] != "", "")
    seconds = each["seconds"].astype(float).groupby(each["method"] + recipe)
    table = seconds.agg(runs="size", seconds_of_a_run="median", core_hours="sum")
    table["core_hours"] /= 3600
    table = table.sort_values("core_hours", ascending=False)
    return table.rename_axis("--methods").reset_index()


def extent(runs: pd.DataFrame) -> dict[str, float]:
    """Count the folds of a condition, and how many its whole protocol has, its seeds and runs."""
    return {
        "folds": runs["split"].nunique(),
        "of_folds": runs["of_folds"].astype(float).max(),
        "seeds": runs["seed"].nunique(),
        "runs": len(runs),
    }


def fold_interval(
    runs: pd.DataFrame, column: str, bounds: tuple[float, float] = (0.0, 1.0)
) -> Interval:
    """Mean of a column over folds, of each fold over seeds, with its t interval.

    Seeds of one fold are no independent folds: they are averaged first. Folds share training data,
    which `statistics.mean_interval` allows for. Where there is one split only, and across corpora,
    where each seed divides the target anew, the interval is over seeds.

    Parameters
    ----------
    runs
        Of one condition.
    column
        What is averaged.
    bounds
        Between which it lies; the interval is cut off there.
    """
    unit = unit_of(runs)
    return mean_interval(runs.groupby(unit)[column].mean(), bounds, shared(runs, unit))


def unit_of(runs: pd.DataFrame) -> str:
    """Say what the scores of a condition vary over: its splits, or its seeds."""
    across = (runs["source"] != "").any()
    return "split" if runs["split"].nunique() > 1 and not across else "seed"


def shared(runs: pd.DataFrame, unit: str) -> float:
    """Test over training utterances of folds, as intervals over them want it; 0 over seeds."""
    shares = runs["utterances"] / runs["train_utterances"]
    return float(shares.mean()) if unit == "split" else 0.0


def pooled_interval(predictions: pd.DataFrame, *, over_speakers: bool = False) -> Interval:
    """UAR of all utterances of one condition at once, with its bootstrap interval.

    Parameters
    ----------
    predictions
        From `runs.load_predictions`.
    over_speakers
        Draw whole speakers in place of utterances.

    Returns
    -------
    Interval
        Mean over seeds, and over divisions or inner folds that test an utterance again: these do
        not narrow it.
    """
    intervals = []
    turn = predictions.groupby(["seed", "corpus", "utterance"]).cumcount()
    for _, part in predictions.groupby(["seed", turn]):
        speakers = part["corpus"] + " " + part["speaker"] if over_speakers else None
        intervals.append(bootstrap_interval(part["emotion"], part["predicted"], speakers=speakers))
    return Interval(*map(float, np.mean(intervals, axis=0)))


def _pooled(group: pd.DataFrame, predictions: pd.DataFrame | None) -> dict[str, float]:
    """Score all utterances of a condition at once; nothing where predictions are missing."""
    if predictions is None:
        return {}
    mine = predicted_by(group, predictions)
    if mine["run"].nunique() < len(group):
        return {}
    held_out = group["held_out"].eq(True).all()
    return pooled_interval(mine, over_speakers=held_out).columns("pooled_uar", 1)
