"""Choosing a method across corpora without the target's labels: by pairs that it is no part of."""

import pandas as pd

from ctl_helpers.results.naming import method_of, name_of
from ctl_helpers.results.runs import OPTIMISTIC, as_named, matching
from ctl_helpers.results.summaries import fold_interval

RULE = (
    "For each target, the method with the highest mean UAR over the pairs that the target is no "
    "part of, neither as target nor as source: none of its labels is looked at. Only methods that "
    "ran on all pairs are compared. Not free of the target's labels are the recipes, chosen inside "
    "these corpora, and the weight of information maximisation, chosen from EmoDB to CASIA."
)
_METHOD = ["method", "recipe", "normalisation"]


def chosen_by_other_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose a method for every pair by `RULE`, and say how it did there.

    Parameters
    ----------
    runs
        From `runs.load_runs`.

    Returns
    -------
    pandas.DataFrame
        A row per pair of single corpora: source, target, method (the chosen one), uar with its
        interval over seeds (percent), ``best`` (that of the method that would have been best
        there), seeds. Empty where no pair ran without the target.
    """
    runs = as_named(runs, free=("normalisation",))
    runs = matching(runs, {"protocol": "transductive", "labels": "emotion"})
    several = (runs["source"] + runs["target"]).str.contains("+", regex=False)
    runs = runs[runs["selection"].ne(OPTIMISTIC) & ~several]
    means = runs.groupby([*_METHOD, "source", "target"])["uar"].mean().unstack(["source", "target"])
    means = means.dropna()  # the methods that ran on all pairs
    rows = []
    for source, target in means.columns if len(means) else ():
        others = means[[pair for pair in means.columns if target not in pair]]
        if others.empty:
            continue
        chosen = others.mean(axis=1).idxmax()
        method = dict(zip(_METHOD, chosen, strict=True))
        mine = matching(runs, {"source": source, "target": target} | method)
        row = {"source": name_of(source), "target": name_of(target), "method": method_of(method)}
        best = {"best": 100 * means[source, target].max(), "seeds": mine["seed"].nunique()}
        rows.append(row | fold_interval(mine, "uar").columns("uar") | best)
    columns = ["source", "target", "method", "uar", "uar_low", "uar_high", "best", "seeds"]
    return pd.DataFrame(rows, columns=columns)
