"""Comparisons: what one method, or one choice, adds to another on the same folds or seeds.

Differences are in **percentage points**, with their 95 % interval in columns as `tables` has them.
"""

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from ctl_helpers.errors import StudyError, log, warn_once
from ctl_helpers.features import SECONDS, TRANSDUCTIVE
from ctl_helpers.results.naming import method_of, named_apart, place_of
from ctl_helpers.results.runs import CONDITION, OPTIMISTIC, PLACE, grouped, matching, predicted_by
from ctl_helpers.results.statistics import corrected_resampled_t_test, mcnemar, paired_bootstrap
from ctl_helpers.results.summaries import extent, fold_interval, shared, unit_of

_METHOD = ["method", "recipe", "normalisation", "selection", "variant"]
_GROUP = [*CONDITION, "variant"]
_PREFERRED = ("modern", "paper", "released", "quick")


def compare(
    runs: pd.DataFrame,
    reference: Mapping[str, str],
    predictions: pd.DataFrame | None = None,
    within: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare every condition with a reference on the folds, or seeds, that both ran.

    Parameters
    ----------
    runs
        From `runs.load_runs`; optimistic rows are left out.
    reference
        What marks the reference, such as ``{"method": "source-only"}`` or ``{"recipe":
        "released"}``: one condition per corpus (or pair) and protocol.
    predictions
        From `runs.load_predictions`; they add the difference of pooled UAR with its interval and
        p value by a paired bootstrap over utterances, seeds averaged, and McNemar's test on the
        predictions of the first seed of either.
    within
        Columns that a condition must share with its reference; without one it is left out.

    Returns
    -------
    pandas.DataFrame
        Per condition: mean difference to the reference in percentage points with its interval and
        p value (corrected resampled t-test over folds, seeds averaged; across corpora and where
        there is one split a paired t-test over seeds; neither has an interval for fewer than
        three), the pooled difference, McNemar's p, folds, seeds. What was scored on other labels
        than the reference is left out with a warning, where there are predictions to tell.

    Raises
    ------
    StudyError
        If no run, or more than one condition in one place, fits the reference.
    """
    runs = runs[runs["selection"] != OPTIMISTIC]
    if matching(runs, reference).empty:
        raise StudyError(f"expected runs with {dict(reference)} to compare with; got none")
    keys = [key for key in _METHOD if key not in within]
    rows = []
    for where, here in grouped(runs, [*PLACE, *within]):
        base = matching(here, reference)
        if (found := len(base[keys].drop_duplicates())) > 1:
            expected = f"expected one condition with {dict(reference)}, got {found}"
            place = f"{place_of(where)} {where['protocol']}"
            raise StudyError(f"{place}: {expected}; name more of {', '.join(keys)}")
        for key, other in grouped(here.drop(base.index), keys):
            found = differences(other, base, predictions)
            rows += [where | key | found] if found else []
    return named_apart(pd.DataFrame(rows)).drop(columns="variant", errors="ignore")


def differences(
    other: pd.DataFrame, base: pd.DataFrame, predictions: pd.DataFrame | None = None
) -> dict:
    """Test one condition against another, as in a row of `compare`.

    Return {} if both ran too little, or were scored on different labels.
    """
    unit = unit_of(base)
    paired = pd.concat([side.groupby(unit)["uar"].mean() for side in (other, base)], axis=1)
    first, second = paired.dropna().to_numpy().T
    both, names = pd.DataFrame(), " and ".join([*other["method"][:1], *base["method"][:1]])
    if predictions is not None:
        sides = [predicted_by(side, predictions) for side in (other, base)]
        both = _side_by_side(sides[0], sides[1], unit, names)
    if len(both) and (other_labels := int(both["emotion"].ne(both["emotion_reference"]).sum())):
        log.warning("%s: not compared, %d labels differ", names, other_labels)
        return {}
    if len(first) < (1 if len(both) else 2):
        return {}
    test = corrected_resampled_t_test(first, second, shared(base, unit))
    row = test.difference.columns("difference") | {"p": test.p}
    row |= {"folds" if unit == "split" else "seeds": len(first)}
    if len(both):
        said = both["emotion"], both["predicted"], both["predicted_reference"]
        pooled = paired_bootstrap(*said, both["corpus"] + " " + both["utterance"])
        row |= pooled.difference.columns("pooled_difference") | {"pooled_p": pooled.p}
        # Each utterance once, under the first seeds: with `inner:` several splits test it.
        once = ~both.duplicated(["corpus", "utterance"])
        row["mcnemar_p"] = mcnemar(*(column[once] for column in said))
    return row


def _side_by_side(first: pd.DataFrame, second: pd.DataFrame, unit: str, names: str) -> pd.DataFrame:
    """Join both predictions of an utterance: each seed of one side with each of the other."""
    row, part = ["corpus", "utterance"], ["split", *(["seed"] if unit == "seed" else [])]
    shared_parts = first[part].drop_duplicates().merge(second[part].drop_duplicates())
    columns = [*row, "split", "seed", "emotion", "predicted"]
    sides = [side[columns].merge(shared_parts) for side in (first, second)]
    sides = [side.sort_values("seed", kind="stable") for side in sides]
    if unit == "split":
        sides = [side[side["seed"].isin(_seeds_of_all(side))] for side in sides]
    both = sides[0].merge(sides[1], on=[*row, *part], suffixes=("", "_reference"))
    kept, *each = (len(some[row].drop_duplicates()) for some in (both, *sides))
    if kept < min(each):
        warn_once(
            f"{names}: compared over {kept} of {min(each)} utterances, whose names both have; if "
            "files were renamed, remove the runs of before"
        )
    return both


def _seeds_of_all(side: pd.DataFrame) -> pd.Index:
    """Seeds that ran on all splits, so that none counts more than others; or that of the most."""
    splits = side.groupby("seed")["split"].nunique()
    whole = splits == side["split"].nunique()
    return splits.index[whole] if whole.any() else splits.nlargest(1).index


def how_sure(difference: Mapping[str, float]) -> str:
    """Say whether a row of `compare` is more than chance, by its intervals that are known.

    Examples
    --------
    >>> ends = {"pooled_difference_low": 1.0, "pooled_difference_high": 3.0}
    >>> how_sure(ends | {"difference_low": -1.0, "difference_high": 5.0})
    'it may be chance'
    """
    utterances, trainings = (
        (difference[f"{kind}_low"], difference[f"{kind}_high"])
        for kind in ("pooled_difference", "difference")
    )
    if not _is_apart(*utterances):
        return "it may be chance"
    if pd.isna(trainings[0]):
        return "more than the choice of utterances explains; other trainings may differ"
    return "more than chance" if _is_apart(*trainings) else "it may be chance"


def _is_apart(low: float, high: float) -> bool:
    """Whether an interval is known and does not hold 0."""
    return low > 0 or high < 0


def against_cpac(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Compare every method inside a corpus with CPAC on the same folds.

    Parameters
    ----------
    runs
        From `runs.load_runs`; optimistic rows are left out.
    predictions
        From `runs.load_predictions`, for McNemar's test.

    Returns
    -------
    pandas.DataFrame
        As `compare` gives it, with the column reference: CPAC by the first of the recipes modern,
        paper, released and quick that ran there. Methods that use the test part's unlabelled
        speech (normalised per speaker or corpus) are compared with the reference that does, too;
        those that know some seconds of a speaker are left out.
    """
    runs = runs[(runs["source"] == "") & (runs["selection"] != OPTIMISTIC)]
    runs = runs[~runs["normalisation"].isin(SECONDS)]
    parts = [pd.DataFrame()]
    # Folds of the same name are the same folds within one number of them and one division.
    divided = runs["variant"].map(lambda variant: str(json.loads(variant).get("division")))
    folds = runs["of_folds"].astype(float).fillna(0)
    same = [*PLACE, runs["normalisation"].isin(TRANSDUCTIVE), folds, divided]
    for _, here in runs.groupby(same, sort=False):
        cpac = here[(here["method"] == "cpac") & here["recipe"].isin(_PREFERRED)]
        if len(cpac):
            first = cpac["recipe"].map(_PREFERRED.index).idxmin()
            reference = cpac.loc[first, _METHOD].to_dict()
            found = compare(here, reference, predictions)
            parts.append(found.assign(reference=method_of(reference)))
    return pd.concat(parts, ignore_index=True)


def gains(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Say what adaptation adds to source-only under the same recipe, per pair.

    Parameters
    ----------
    runs
        From `runs.load_runs`; those across corpora count.
    predictions
        From `runs.load_predictions`; see `compare`.

    Returns
    -------
    pandas.DataFrame
        As `compare` gives it; empty where no method stands beside source-only.
    """
    across = runs[runs["source"] != ""]
    if "source-only" not in set(across["method"]):
        return pd.DataFrame()
    within = ["recipe", "normalisation", "variant"]
    table = compare(across, {"method": "source-only"}, predictions, within=within)
    return table.drop(columns=["corpus", "selection"], errors="ignore")


def gap(runs: pd.DataFrame) -> pd.DataFrame:
    """Say how much picking the best test epoch adds to the last epoch's score.

    Parameters
    ----------
    runs
        From `runs.load_runs`; only runs with both selections count.

    Returns
    -------
    pandas.DataFrame
        Per condition and metric: last, best_test and their difference ``gap`` with its interval
        over folds, in percent and percentage points, and the number of folds and runs.
    """
    keys = ["run", "split", "seed", "of_folds", "utterances", "train_utterances", *_GROUP]
    long = runs.melt([*keys, "selection"], ["uar", "war"], "metric")
    both = long.pivot(index=[*keys, "metric"], columns="selection", values="value")
    both = both.reindex(columns=["last", OPTIMISTIC]).dropna().reset_index()
    both = both.sort_values([*_GROUP, "metric"], kind="stable")
    both = both.assign(gap=both[OPTIMISTIC] - both["last"], metric=both["metric"].str.upper())
    rows = []
    for row, group in grouped(both, [*_GROUP, "metric"]):
        for selection in ("last", OPTIMISTIC):
            row[selection] = 100 * fold_interval(group, selection).value
        row |= fold_interval(group, "gap", (-1.0, 1.0)).columns("gap")
        rows.append(row | extent(group))
    columns = [*_GROUP, "metric", "last", OPTIMISTIC, "gap", "gap_low", "gap_high"]
    columns += ["folds", "of_folds", "runs"]
    return named_apart(pd.DataFrame(rows, columns=columns)).drop(columns="variant")
