"""What the seed of a division is worth: published scores are of one, which may have been picked."""

import json

import pandas as pd

from ctl_helpers.protocols import Problem
from ctl_helpers.results.naming import method_of, name_of
from ctl_helpers.results.runs import OPTIMISTIC

_CONDITION = ["corpus", "protocol", "method", "recipe", "normalisation", "selection"]


def usual_division(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs of other divisions where the usual one ran as well; see `load_runs`."""
    usual = _seeds(runs).eq(Problem.division)
    there = usual.groupby([runs[key] for key in _CONDITION]).transform("any")
    return runs[usual | ~there | runs["corpus"].eq("")]


def scores_by_division(runs: pd.DataFrame) -> pd.DataFrame:
    """Set the scores of several divisions side by side.

    Parameters
    ----------
    runs
        From `runs.load_runs`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus, protocol and method that ran with the usual seed and with others: corpus,
        protocol, method, then UAR in percent, the mean over folds, with the usual seed; then the
        mean, lowest and highest of the others, and how many these are.
    """
    inside = runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)]
    inside = inside.assign(seed=_seeds(inside))
    scores = 100 * inside.groupby([*_CONDITION, "seed"])["uar"].mean().unstack()
    others = scores.drop(columns=Problem.division, errors="ignore")
    if others.shape[1] == scores.shape[1]:
        return pd.DataFrame()
    usual = f"seed {Problem.division}"
    table = pd.DataFrame({usual: scores[Problem.division], "others, mean": others.mean(axis=1)})
    table = table.assign(lowest=others.min(axis=1), highest=others.max(axis=1))
    table = table.assign(others=others.notna().sum(axis=1)).dropna().reset_index()
    methods = [method_of(row) for row in table.to_dict("records")]
    table = table.assign(corpus=table["corpus"].map(name_of), method=methods)
    return table.drop(columns=_CONDITION[3:])


def _seeds(runs: pd.DataFrame) -> pd.Series:
    """Seed of each run's division; not a number across corpora and where nothing is shuffled."""
    return runs["variant"].map(lambda variant: json.loads(variant).get("division")).astype(float)
