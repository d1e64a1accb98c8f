"""The verdict: which published numbers hold when they are computed again."""

import numpy as np
import pandas as pd

from ctl_helpers.results.naming import TESTED_BY, name_of, place_of
from ctl_helpers.results.published import measured_alike, published
from ctl_helpers.results.runs import OPTIMISTIC, PLACE, as_named, matching
from ctl_helpers.results.summaries import extent, fold_interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "undecided"


def verdict(runs: pd.DataFrame) -> pd.DataFrame:
    """Set every published number that this study computed again beside what came out.

    Parameters
    ----------
    runs
        From `runs.load_runs`; those that are not `published.measured_alike` do not count.

    Returns
    -------
    pandas.DataFrame
        A row per claim, recipe that ran and metric: claim (words), corpus, source, target, recipe,
        metric (UAR or WAR), published (percent), citation, last with its interval ``last_low``,
        ``last_high``, and best_test (ours, percent; NaN where it was not computed), folds,
        of_folds, seeds, verdict (see `naming.RULES`).
    """
    rows, runs = [], as_named(measured_alike(runs))
    for claim in published().to_dict("records"):
        method, *recipes = TESTED_BY.get(claim["method"], [""])
        for recipe in recipes:
            asked = {key: claim[key] for key in PLACE} | {"method": method, "recipe": recipe}
            ours = matching(runs, asked)
            last, best = (matching(ours, {"selection": one}) for one in ("last", OPTIMISTIC))
            for metric in ("uar", "war") if len(last) else ():
                words = f"{name_of(claim['method'])}, {place_of(claim)}"
                row = claim | {"claim": words, "recipe": recipe, "metric": metric.upper()}
                row |= {"published": claim[metric]} | extent(last)
                row |= fold_interval(last, metric).columns("last")
                row[OPTIMISTIC] = 100 * fold_interval(best, metric).value if len(best) else np.nan
                rows.append(row | {"verdict": judge(row)})
    columns = ["claim", "corpus", "source", "target", "recipe", "metric", "published", "citation"]
    columns += ["last", "last_low", "last_high", OPTIMISTIC, "folds", "of_folds", "seeds"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"])


def judge(row: dict) -> str:
    """Say whether a claim holds by the rule in `naming.RULES`; if not, on which side we are."""
    if row["folds"] < row["of_folds"] or pd.isna(row["last_low"]):
        return OPEN
    if row["last_low"] <= row["published"] <= row["last_high"]:
        return HOLDS
    return f"{FAILS} (ours is {'lower' if row['last'] < row['published'] else 'higher'})"
