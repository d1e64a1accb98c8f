"""The verdict: which published numbers hold when they are computed again."""

from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.results.naming import name_of, place_of
from ctl_helpers.results.published import measured_alike, published
from ctl_helpers.results.runs import OPTIMISTIC, PLACE, as_named, matching
from ctl_helpers.results.summaries import extent, fold_interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
# Which of our methods tests what was published under a name, by which of its recipes.
_EITHER = ("released", "paper")
TESTED_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    **{"CPAC": ("cpac", _EITHER), "TIM-Net": ("timnet", ("timnet",))},
    **{"source only": ("source-only", _EITHER), "CAAM": ("caam-released", _EITHER)},
    **{"CDAN": ("cdan", _EITHER), "DANN": ("dann", _EITHER)},
}


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
    ran = set(zip(runs["method"], runs["recipe"], strict=True))
    for claim in published().to_dict("records"):
        method, recipes = TESTED_BY.get(claim["method"], ("", ()))
        for recipe in recipes:
            if (method, recipe) not in ran:
                continue
            asked = {key: claim[key] for key in PLACE} | {"method": method, "recipe": recipe}
            ours = matching(runs, asked)
            last, best = (matching(ours, {"selection": one}) for one in ("last", OPTIMISTIC))
            for metric in ("uar", "war") if len(last) else ():
                row: dict[str, Any] = {"claim": f"{name_of(claim['method'])}, {place_of(claim)}"}
                row |= {key: claim[key] for key in ("corpus", "source", "target")}
                row |= {"recipe": recipe, "metric": metric.upper(), "published": claim[metric]}
                row |= {"citation": claim["citation"]}
                row |= fold_interval(last, metric).columns("last") | extent(last)
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
