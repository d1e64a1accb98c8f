"""What people ask of a study: goals, choices without labels, divisions, seconds of a voice."""

import json
from pathlib import Path

import pandas as pd

from ctl_helpers.features import SECONDS
from ctl_helpers.protocols import Problem
from ctl_helpers.results.comparisons import differences
from ctl_helpers.results.naming import method_of, name_of, place_of
from ctl_helpers.results.runs import CONDITION, OPTIMISTIC, as_named, matching, without
from ctl_helpers.results.summaries import extent, fold_interval

CHOSEN = "chosen by other pairs"  # a method for each target; see RULES in naming
_METHOD = ["method", "recipe", "normalisation"]
_ALIKE = [*CONDITION, "selection", "settings"]  # of runs that differ in the division alone
_USUAL = {"kfold": 10, "grouped": 6}  # folds: as published, as the reference
_VOICE = ["corpus", "protocol", "method", "recipe", "selection", "settings"]
_KNOWN = {"global": "none"} | {kind: f"{n:.0f} s" for kind, n in SECONDS.items()}
_KNOWN |= {"speaker": "all"}  # of a speaker, by the normalisation


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
        interval ``uar_low``, ``uar_high`` (none for the mean over several pairs; where one method
        is to be ahead of another, what it adds on the same folds), folds, of_folds, seeds, reached
        ("yes", "no"), and the block of the reference that has it.
    """
    table = pd.read_csv(Path(__file__).with_name("goals.csv"), keep_default_na=False)
    usual = runs["protocol"].map(_USUAL)
    runs = runs[usual.isna() | runs["of_folds"].eq(usual)]
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
    reached = one.get("uar_low", -1) > 0 if goal["ahead_of"] else round(mean, 1) >= goal["goal"]
    if len(scores) > 1:
        one = {"place": f"mean of {len(scores)} pairs", "uar": mean}
    return goal | one | {"method": name_of(goal["method"]), "reached": "yes" if reached else "no"}


def _score(goal: dict, place: str, runs: pd.DataFrame, chosen: pd.DataFrame) -> dict:
    """Score the method that a goal names in one place; nothing where it did not run there."""
    source, _, target = place.rpartition(":")
    if goal["method"] == CHOSEN:
        mine = matching(chosen, {"source": name_of(source), "target": name_of(target)})
        return {"place": place, "uar": mine["uar"].iloc[0]} if len(mine) else {}
    asked = {"source": source, "target" if source else "corpus": target, "labels": "emotion"}
    asked |= {"selection": "last", "protocol": goal["protocol"]}
    label = runs["method"] + ("/" + runs["recipe"]).where(runs["recipe"].ne(""), "")
    mine = runs[label.eq(goal["method"]) & runs["normalisation"].eq(goal["normalisation"])]
    mine = matching(mine, asked)
    other = matching(as_named(runs[label.eq(goal["ahead_of"])]), asked)
    if mine.empty or (goal["ahead_of"] and other.empty):
        return {}
    score = {"place": place_of(mine.iloc[0].to_dict())} | extent(mine)
    if not goal["ahead_of"]:
        return score | fold_interval(mine, "uar").columns("uar")
    if not (found := differences(mine, other)):
        return {}
    return score | {f"uar{end}": found[f"difference{end}"] for end in ("", "_low", "_high")}


def chosen_by_other_pairs(runs: pd.DataFrame) -> pd.DataFrame:
    """Choose a method for every pair by the rule in `naming.RULES`, and say how it did there.

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


def usual_division(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out the runs of other divisions where the usual one ran as well; see `load_runs`."""
    divided = _divided(runs)
    usual = divided["division"].eq(Problem.division)
    there = usual.groupby([divided[key] for key in _ALIKE]).transform("any")
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
    inside = _complete(inside, [*_ALIKE, "division"])
    scores = 100 * inside.groupby([*_ALIKE, "division"])["uar"].mean().unstack()
    others = scores.drop(columns=Problem.division, errors="ignore")
    if others.shape[1] == scores.shape[1]:
        return pd.DataFrame()
    found = {f"seed {Problem.division}": scores[Problem.division]}
    found |= {"others, mean": others.mean(axis=1), "lowest": others.min(axis=1)}
    found |= {"highest": others.max(axis=1), "others": others.notna().sum(axis=1)}
    table = pd.DataFrame(found).dropna().reset_index()
    return _as_written(table)[["corpus", "protocol", "method", *found]]


def _divided(runs: pd.DataFrame) -> pd.DataFrame:
    """Take the seed of the division out of the settings."""
    found = [json.loads(variant).get("division") for variant in runs["variant"]]
    division = pd.Series(found, runs.index, float)
    return runs.assign(division=division, settings=without(runs["variant"], "division"))


def seconds_of_a_new_voice(runs: pd.DataFrame) -> pd.DataFrame:
    """Set scores with held-out speakers beside each other by how much of the speaker is known.

    Parameters
    ----------
    runs
        From `runs.load_runs`.

    Returns
    -------
    pandas.DataFrame
        A row per corpus, protocol and method that ran with some seconds of a speaker: corpus,
        protocol, method, then the mean UAR in percent with nothing of the speaker (scaled by the
        training part), some seconds (``5 s_low`` and ``5 s_high``: of the draws of these seconds,
        one for each seed, the lowest and the highest), and all of it.
    """
    inside = runs[runs["corpus"].ne("") & runs["selection"].ne(OPTIMISTIC)]
    inside = inside.assign(settings=without(inside["variant"], "normalisation"))
    keys = [*_VOICE, "normalisation"]
    inside = _complete(inside, keys)
    draws = (100 * inside.groupby([*keys, "seed"])["uar"].mean()).groupby(level=keys)
    means, lows, highs = (
        table.unstack().reindex(columns=list(_KNOWN)).rename(columns=_KNOWN)
        for table in (draws.mean(), draws.min(), draws.max())
    )
    some = [_KNOWN[kind] for kind in SECONDS]
    means = means.join(lows[some].add_suffix("_low")).join(highs[some].add_suffix("_high"))
    means = means[means[some].notna().any(axis=1)].reset_index()
    return _as_written(means).drop(columns=_VOICE[3:]).rename_axis(columns=None)


def _complete(runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Leave out conditions that did not run on all of their folds: others are not beside them."""
    ran = runs.groupby(keys)["split"].transform("nunique")
    return runs[runs["of_folds"].isna() | ran.ge(runs["of_folds"].astype(float))]


def _as_written(table: pd.DataFrame) -> pd.DataFrame:
    """Write corpora and methods as people read them."""
    methods = [method_of(row) for row in table.to_dict("records")]
    return table.assign(corpus=table["corpus"].map(name_of), method=methods)
