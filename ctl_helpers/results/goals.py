"""The goals of this study, each with the method that is to reach it, and what was reached."""

from pathlib import Path

import pandas as pd

from ctl_helpers.results.choice import chosen_by_other_pairs
from ctl_helpers.results.naming import name_of, place_of
from ctl_helpers.results.runs import as_named, matching
from ctl_helpers.results.summaries import extent, fold_interval

CHOSEN = "chosen by other pairs"  # a method for each target; see `choice.RULE`


def goals(runs: pd.DataFrame) -> pd.DataFrame:
    """Set what was reached beside the goals of ``goals.csv``.

    Parameters
    ----------
    runs
        From `runs.load_runs`.

    Returns
    -------
    pandas.DataFrame
        A row per goal whose runs are there: question, place, method, goal (percent), uar with its
        interval ``uar_low``, ``uar_high`` (none for the mean over several pairs), folds, of_folds,
        seeds, reached ("yes", "no"), and the block of the reference that has it.
    """
    table = pd.read_csv(Path(__file__).with_name("goals.csv"), keep_default_na=False)
    runs = as_named(runs, free=("normalisation",))
    chosen = chosen_by_other_pairs(runs)
    rows = [_row(goal, runs, chosen) for goal in table.to_dict("records")]
    columns = ["question", "place", "method", "goal", "uar", "uar_low", "uar_high", "folds"]
    columns += ["of_folds", "seeds", "reached", "block"]
    counts = dict.fromkeys(["folds", "of_folds", "seeds"], "Int64")
    return pd.DataFrame([row for row in rows if row], columns=columns).astype(counts)


def _row(goal: dict, runs: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    scores = [_score(goal, place, runs, chosen) for place in goal["places"].split()]
    if not all(scores):
        return {}
    one, mean = scores[0], sum(score["uar"] for score in scores) / len(scores)
    return {
        "question": goal["question"],
        "place": one["place"] if len(scores) == 1 else f"mean of {len(scores)} pairs",
        "method": CHOSEN if goal["method"] == CHOSEN else name_of(goal["method"]),
        "goal": goal["goal"],
        **(one if len(scores) == 1 else {"uar": mean}),
        "reached": "yes" if round(mean, 1) >= goal["goal"] else "no",
        "block": goal["block"],
    }


def _score(goal: dict, place: str, runs: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """Score the method that a goal names in one place; nothing where it did not run there."""
    source, _, target = place.rpartition(":")
    if goal["method"] == CHOSEN:
        mine = matching(chosen, {"source": name_of(source), "target": name_of(target)})
        return {"place": place, "uar": mine["uar"].iloc[0]} if len(mine) else {}
    label = runs["method"] + ("/" + runs["recipe"]).where(runs["recipe"].ne(""), "")
    mine = runs[label.eq(goal["method"]) & runs["selection"].eq("last")]
    asked = {"source": source, "target" if source else "corpus": target, "labels": "emotion"}
    asked |= {key: goal[key] for key in ("protocol", "normalisation")}
    mine = matching(mine, asked)
    if mine.empty:
        return {}
    score = {"place": place_of(mine.iloc[0].to_dict())}
    return score | fold_interval(mine, "uar").columns("uar") | extent(mine)
