"""The goals that the study set itself, each for a method named beforehand, and what was reached."""

from importlib.resources import files

import pandas as pd

from ctl_helpers.results.naming import name_of, place_of
from ctl_helpers.results.runs import OPTIMISTIC
from ctl_helpers.results.statistics import Interval
from ctl_helpers.results.summaries import fold_interval

COMMAND = 'ctl-mtnet study studies/reference.yaml --corpora DIR --blocks "{}"'


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
        seeds, reached ("yes", "no"), and the command that runs it again.
    """
    with (files("ctl_helpers.results") / "goals.csv").open(encoding="utf-8") as file:
        table = pd.read_csv(file, keep_default_na=False)
    rows = [_row(goal, runs) for goal in table.to_dict("records")]
    columns = ["question", "place", "method", "goal", "uar", "uar_low", "uar_high", "folds"]
    columns += ["of_folds", "seeds", "reached", "command"]
    return pd.DataFrame([row for row in rows if row], columns=columns)


def _row(goal: dict, runs: pd.DataFrame) -> dict:
    label = runs["method"] + ("/" + runs["recipe"]).where(runs["recipe"].ne(""), "")
    mine = runs[label.eq(goal["method"]) & runs["selection"].ne(OPTIMISTIC)]
    asked = pd.Series({key: goal[key] for key in ("protocol", "normalisation")})
    mine = mine[mine[asked.index].eq(asked).all(axis=1) & mine["labels"].eq("emotion")]
    parts = [mine[_is_of(mine, place)] for place in goal["places"].split()]
    if not all(map(len, parts)):
        return {}
    scores = [fold_interval(part, "uar") for part in parts]
    mean = sum(score.value for score in scores) / len(scores)
    score = scores[0] if len(scores) == 1 else Interval(mean, float("nan"), float("nan"))
    places = [place_of(part.iloc[0].to_dict()) for part in parts]
    return {
        "question": goal["question"],
        "place": "; ".join(places) if len(places) < 3 else f"mean of {len(places)} pairs",
        "method": name_of(goal["method"]),
        "goal": goal["goal"],
        **score.columns("uar"),
        "folds": sum(part["split"].nunique() for part in parts),
        "of_folds": sum(part["of_folds"].astype(float).max() for part in parts),
        "seeds": min(part["seed"].nunique() for part in parts),
        "reached": "yes" if round(100 * score.value, 1) >= goal["goal"] else "no",
        "command": COMMAND.format(goal["block"]),
    }


def _is_of(runs: pd.DataFrame, place: str) -> pd.Series:
    source, _, target = place.rpartition(":")
    if source:
        return runs["source"].eq(source) & runs["target"].eq(target)
    return runs["corpus"].eq(target)
