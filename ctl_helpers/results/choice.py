"""Choosing a method across corpora without the target's labels: by the pairs of other targets."""

import pandas as pd

from ctl_helpers.results.naming import method_of, name_of
from ctl_helpers.results.runs import OPTIMISTIC
from ctl_helpers.results.summaries import fold_interval

RULE = (
    "For each target the method whose mean UAR over the pairs with other targets is highest, so "
    "that no label of the target is looked at; only methods that ran on all pairs take part."
)
_METHOD = ["method", "recipe", "normalisation"]


def chosen_without_labels(runs: pd.DataFrame) -> pd.DataFrame:
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
    runs = runs[runs["protocol"].eq("transductive") & runs["labels"].eq("emotion")]
    runs = runs[
        runs["selection"].ne(OPTIMISTIC) & ~(runs["source"] + runs["target"]).str.contains(r"\+")
    ]
    means = runs.groupby([*_METHOD, "source", "target"])["uar"].mean().unstack(["source", "target"])
    means = means.dropna()  # the methods that ran on all pairs
    targets = means.columns.get_level_values("target")
    rows = []
    if targets.nunique() > 1 and len(means):
        for source, target in means.columns:
            chosen = means.loc[:, targets != target].mean(axis=1).idxmax()
            here = runs[runs["source"].eq(source) & runs["target"].eq(target)]
            mine = here[here[_METHOD].eq(pd.Series(list(chosen), index=_METHOD)).all(axis=1)]
            rows.append(
                {
                    "source": name_of(source),
                    "target": name_of(target),
                    "method": method_of(mine.iloc[0].to_dict()),
                    **fold_interval(mine, "uar").columns("uar"),
                    "best": 100 * means[source, target].max(),
                    "seeds": mine["seed"].nunique(),
                }
            )
    columns = ["source", "target", "method", "uar", "uar_low", "uar_high", "best", "seeds"]
    return pd.DataFrame(rows, columns=columns)
