"""Naming: how corpora, methods, conditions, rows and columns are written.

Files, specifications and CSV keep identifiers (``emodb``, ``caam-mdd``); people read names.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ctl_helpers.results.runs import CONDITION
from ctl_helpers.results.statistics import Interval

DAGGER = "†"
OURS = "this study"
NAMES = {
    **{"casia": "CASIA", "emodb": "EmoDB", "savee": "SAVEE", "ravdess": "RAVDESS"},
    **{"emovo": "EMOVO", "tess": "TESS", "crema-d": "CREMA-D", "esd": "ESD", "iemocap": "IEMOCAP"},
    **{"cpac": "CPAC", "timnet": "TIM-Net", "source-only": "source only"},
    **{"caam-released": "CAAM (as released)", "caam-mdd": "CAAM (MDD)", "dann": "DANN"},
    **{"cdan": "CDAN", "cdan-e": "CDAN+E", "coral": "Deep CORAL", "mmd": "MMD", "jan": "JAN"},
    "information": "information maximisation",
    **{"egemaps": "eGeMAPS", "compare": "ComParE"},
    **dict.fromkeys(("mfcc", "mfcc-statistics"), "MFCC statistics"),
    **{"linear": "SVM (linear)", "rbf": "SVM (RBF)", "logistic": "logistic regression"},
    **{"kfold": "shuffled k-fold", "stratified": "stratified k-fold"},
    **{"loso": "leave one speaker out", "grouped": "speaker-grouped k-fold"},
    "svm": "SVM on labelled target",
}
HEADINGS = {
    "uar": "UAR %",
    "war": "WAR %",
    "macro_f1": "macro F1 %",
    "pooled_uar": "pooled UAR %",
    "pooled_war": "pooled WAR %",
    "f1": "F1 %",
    "recall": "recall %",
    "precision": "precision %",
    "best_test": f"best test epoch {DAGGER}",
    "last": "last epoch",
    "difference": "difference (points)",
    "distance": "proxy A-distance",
    "pooled_difference": "over utterances (points)",
    "pooled_p": "p over utterances",
    "confidence": "mean confidence %",
    "ece": "ECE %",
    "gap": "gap (points)",
    "p": "p",
    "mcnemar_p": "McNemar p",
}
_SAID = {"speaker": "per speaker", "corpus": "per corpus", "utterance": "per utterance"}
_UNSAID = {"none": "not normalised", "global": "scaled by the training part"}


def name_of(identifier: str) -> str:
    """Return how a corpus, method or protocol is written.

    Examples
    --------
    >>> name_of("emodb"), name_of("egemaps+rbf"), name_of("mean(cpac/modern, timnet/timnet)")
    ('EmoDB', 'eGeMAPS + SVM (RBF)', 'mean of CPAC modern, TIM-Net')
    """
    if identifier in NAMES:
        return NAMES[identifier]
    if fused := re.fullmatch(r"(\w+)\((.+)\)", identifier):
        return f"{fused[1]} of {', '.join(map(name_of, fused[2].split(', ')))}"
    if identifier.startswith("given:"):
        return identifier.removeprefix("given:")
    for mark, joint in (("+", " + "), ("/", " ")):
        parts = identifier.split(mark)
        if len(parts) > 1 and parts[0] in NAMES:
            return joint.join(dict.fromkeys(map(name_of, _without_repeat(parts))))
    return identifier


def _without_repeat(parts: list[str]) -> list[str]:
    """Leave out a recipe that is called as its method is: ``timnet/timnet``."""
    return [part for i, part in enumerate(parts) if part and part not in parts[:i]]


def method_of(row: Mapping[str, str]) -> str:
    """Return how a row's method is written, with its recipe and the condition it was run under.

    Parameters
    ----------
    row
        ``method``, and ``recipe`` and ``normalisation`` where there are any.

    Returns
    -------
    str

    Examples
    --------
    >>> method_of({"method": "cpac", "recipe": "modern", "normalisation": "global"})
    'CPAC modern'
    >>> method_of({"method": "egemaps+rbf", "recipe": "", "normalisation": "speaker"})
    'eGeMAPS + SVM (RBF), per speaker'
    """
    recipe = row.get("recipe", "")
    name = name_of(row["method"])
    if recipe not in (row["method"], "", *re.findall(r"\w+", name)):  # said already
        name = f"{name} {recipe}"
    return ", ".join(filter(None, [name, _SAID.get(row.get("normalisation", ""), "")]))


def place_of(row: Mapping[str, str]) -> str:
    """Return how a row's corpus, or its pair, is written: ``EmoDB``, ``CASIA → EmoDB``."""
    if row.get("corpus"):
        return name_of(row["corpus"])
    if row["source"] == "mean":
        return "mean"
    return f"{name_of(row['source'])} → {name_of(row['target'])}"


def label_of(row: Mapping[str, str]) -> str:
    """Return a method's name for a list of ours and published ones, told apart by who reports."""
    if row["reported_by"] != OURS:
        return f"{name_of(row['method'])} ({row['reported_by']})"
    return method_of(row) + (f" {DAGGER}" if row["optimistic"] else "")


def title_of(row: Mapping[str, str], only: Sequence[int] | None = None) -> str:
    """Say in words what a row is of: ``EmoDB, CPAC modern, per speaker, shuffled k-fold``.

    ``only`` are the numbers of the splits that ran, None for all.
    """
    numbers = " ".join(map(str, only or ()))
    splits = f"split{'s' * (len(only) > 1)} {numbers} only" if only else ""
    labels = row.get("labels", "emotion").replace("emotion", "")
    words = [place_of(row), method_of(row), name_of(row["protocol"]), labels, splits]
    return ", ".join(filter(None, words))


def part_of(row: Mapping[str, Any]) -> str:
    """Say how much of its protocol a row ran, ``1 of 10 folds``; empty where it is all of it."""
    for unit in ("folds", "utterances"):
        done, all_of_them = row.get(unit), row.get(f"of_{unit}")
        if pd.notna(done) and pd.notna(all_of_them) and done < all_of_them:
            return f"{done:.0f} of {all_of_them:.0f} {unit}"
    return ""


def columns_of(name: str, interval: Interval) -> dict[str, float]:
    """Return the three columns of an interval, in percent."""
    ends = ("", "_low", "_high")
    return {f"{name}{end}": 100 * value for end, value in zip(ends, interval, strict=True)}


def named_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Add to the recipe's name what is needed where one name stands for several settings.

    Parameters
    ----------
    table
        Rows with method, recipe, normalisation and variant.

    Returns
    -------
    pandas.DataFrame
        Recipes read ``modern (epochs 60)`` where the same method ran with other settings,
        features or divisions, but for those of the most runs, and ``modern (not normalised)``
        where it ran both without normalisation and scaled by the training part.
    """
    if table.empty:
        return table
    keys = [key for key in (*CONDITION, "selection", "metric", "split") if key in table]
    unsaid = table["normalisation"].map(_UNSAID)
    names = table["recipe"].copy()
    for key, words in (("normalisation", unsaid), ("variant", table["variant"])):
        same = [table[other] for other in keys if other != key]
        for rows in table.groupby(same, sort=False).indices.values():
            found = words.iloc[rows].dropna()
            if found.nunique() < 2:
                continue
            if key == "variant":
                runs = table["runs"] if "runs" in table else pd.Series(1, table.index)
                most = runs[found.index].groupby(found).sum().nlargest(2)
                differ = _differences(found.unique())
                found = found[(found != most.index[0]) | (most.iloc[0] == most.iloc[1])].map(differ)
            names[found.index] = (names[found.index] + " (" + found + ")").str.strip()
    return table.assign(recipe=names)


def _differences(variants: Sequence[str]) -> dict[str, str]:
    """Say of each variant what sets it apart: the settings whose values are not all the same."""
    settings = [json.loads(variant) for variant in variants]
    keys = sorted({key for one in settings for key in one})
    differ = [key for key in keys if len({json.dumps(one.get(key)) for one in settings}) > 1]
    return {
        variant: ", ".join(f"{key.replace('_', ' ')} {one.get(key)}" for key in differ)
        for variant, one in zip(variants, settings, strict=True)
    }
