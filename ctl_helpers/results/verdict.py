"""The verdict: which published numbers hold when they are computed again."""

from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.results.naming import name_of, place_of
from ctl_helpers.results.published import measured_alike, published
from ctl_helpers.results.runs import OPTIMISTIC, PLACE, as_named, matching
from ctl_helpers.results.summaries import extent, fold_interval, pooled_interval

HOLDS, FAILS, OPEN = "holds", "does not hold", "cannot be told"
RULE = (
    "A claim holds if it lies inside the 95 % interval of our score at the last epoch. That "
    "interval is over all folds; across corpora over seeds, or, with fewer than three seeds, over "
    "the target's utterances, which leaves out how much trainings vary. It cannot be told if folds "
    "are missing or there is no interval (for example if every utterance got the same emotion)."
)
# Which of our methods tests what was published under a name, by which of its recipes.
_EITHER = ("released", "paper")
TESTED_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    **{"CPAC": ("cpac", _EITHER), "TIM-Net": ("timnet", ("timnet",))},
    **{"source only": ("source-only", _EITHER), "CAAM": ("caam-released", _EITHER)},
    **{"CDAN": ("cdan", _EITHER), "DANN": ("dann", _EITHER)},
}


def verdict(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Set every published number that this study computed again beside what came out.

    Parameters
    ----------
    runs
        From `runs.load_runs`; those that are not `published.measured_alike` do not count.
    predictions
        From `runs.load_predictions`; without them there are no intervals over utterances.

    Returns
    -------
    pandas.DataFrame
        A row per claim and recipe that ran: claim (words), corpus, source, target, recipe,
        published (percent), citation, last with its interval ``last_low``, ``last_high``, and
        best_test (ours, percent; NaN where it was not computed), folds, of_folds, seeds, verdict
        (see `RULE`).
    """
    rows, runs = [], as_named(measured_alike(runs))
    for claim in published().to_dict("records"):
        method, recipes = TESTED_BY.get(claim["method"], ("", ()))
        for recipe in recipes:
            asked = {key: claim[key] for key in PLACE} | {"method": method, "recipe": recipe}
            ours = matching(runs, asked)
            last, best = (matching(ours, {"selection": one}) for one in ("last", OPTIMISTIC))
            if last.empty:
                continue
            row: dict[str, Any] = {"claim": f"{name_of(claim['method'])}, {place_of(claim)}"}
            row |= {key: claim[key] for key in ("corpus", "source", "target")}
            row |= {"recipe": recipe, "published": claim["uar"], "citation": claim["citation"]}
            row |= fold_interval(last, "uar").columns("last") | extent(last)
            if claim["source"] and row["seeds"] < 3 and predictions is not None:
                mine = predictions.merge(last[["run", "selection"]])
                row |= pooled_interval(mine).columns("last")
            row[OPTIMISTIC] = 100 * fold_interval(best, "uar").value if len(best) else np.nan
            rows.append(row | {"verdict": judge(row)})
    columns = ["claim", "corpus", "source", "target", "recipe", "published", "citation"]
    columns += ["last", "last_low", "last_high", OPTIMISTIC, "folds", "of_folds", "seeds"]
    return pd.DataFrame(rows, columns=[*columns, "verdict"])


def judge(row: dict) -> str:
    """Say whether a claim holds by `RULE`, and if not, on which side of it we are."""
    if row["folds"] < row["of_folds"] or pd.isna(row["last_low"]):
        return OPEN
    if row["last_low"] <= row["published"] <= row["last_high"]:
        return HOLDS
    return f"{FAILS} (ours is {'lower' if row['last'] < row['published'] else 'higher'})"
