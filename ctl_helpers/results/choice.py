"""Choosing a method across corpora without scores on the target: by the pairs of other targets."""

import pandas as pd

from ctl_helpers.results.naming import method_of, name_of
from ctl_helpers.results.runs import OPTIMISTIC, as_named, matching
from ctl_helpers.results.summaries import fold_interval

RULE = (
    "For each target, the method with the highest mean UAR over the pairs with other targets, so "
    "that no score on this target is looked at (in some of those pairs it is the labelled source). "
    "Only methods that ran on all pairs are compared."
)
_METHOD = ["method", "recipe", "normalisation"]


def chosen_by_other_targets(runs: pd.DataFrame) -> pd.DataFrame:
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
        there), seeds. Empty where fewer than two targets ran.
    """
    runs = as_named(runs, free=("normalisation",))
    runs = matching(runs, {"protocol": "transductive", "labels": "emotion"})
    several = (runs["source"] + runs["target"]).str.contains("+", regex=False)
    runs = runs[runs["selection"].ne(OPTIMISTIC) & ~several]
    means = runs.groupby([*_METHOD, "source", "target"])["uar"].mean().unstack(["source", "target"])
    means = means.dropna()  # the methods that ran on all pairs
    targets = means.columns.get_level_values("target")
    rows = []
    for source, target in means.columns if targets.nunique() > 1 and len(means) else ():
        chosen = means.loc[:, targets != target].mean(axis=1).idxmax()
        method = dict(zip(_METHOD, chosen, strict=True))
        mine = matching(runs, {"source": source, "target": target} | method)
        row = {"source": name_of(source), "target": name_of(target), "method": method_of(method)}
        best = {"best": 100 * means[source, target].max(), "seeds": mine["seed"].nunique()}
        rows.append(row | fold_interval(mine, "uar").columns("uar") | best)
    columns = ["source", "target", "method", "uar", "uar_low", "uar_high", "best", "seeds"]
    return pd.DataFrame(rows, columns=columns)
