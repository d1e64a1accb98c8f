"""What the seed of a division is worth: published scores are of one, which may have been picked."""

import json

import pandas as pd

from ctl_helpers.protocols import Problem
from ctl_helpers.results.naming import method_of, name_of
from ctl_helpers.results.runs import CONDITION, OPTIMISTIC, without

_SAME = [*CONDITION, "selection", "settings"]  # of runs that differ in the division alone


def usual_division(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs of other divisions where the usual one ran as well; see `load_runs`."""
    divided = _divided(runs)
    usual = divided["division"].eq(Problem.division)
    there = usual.groupby([divided[key] for key in _SAME]).transform("any")
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
    inside = _divided(runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)])
    scores = 100 * inside.groupby([*_SAME, "division"])["uar"].mean().unstack()
    others = scores.drop(columns=Problem.division, errors="ignore")
    if others.shape[1] == scores.shape[1]:
        return pd.DataFrame()
    found = {f"seed {Problem.division}": scores[Problem.division]}
    found |= {"others, mean": others.mean(axis=1), "lowest": others.min(axis=1)}
    found |= {"highest": others.max(axis=1), "others": others.notna().sum(axis=1)}
    table = pd.DataFrame(found).dropna().reset_index()
    methods = [method_of(row) for row in table.to_dict("records")]
    table = table.assign(corpus=table["corpus"].map(name_of), method=methods)
    return table[["corpus", "protocol", "method", *found]]


def _divided(runs: pd.DataFrame) -> pd.DataFrame:
    """Take the seed of the division out of the settings; not a number where nothing is shuffled."""
    found = [json.loads(variant).get("division") for variant in runs["variant"]]
    division = pd.Series(found, runs.index, float)
    return runs.assign(division=division, settings=without(runs["variant"], "division"))
