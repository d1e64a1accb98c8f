"""Naming: how corpora, methods, conditions, rows and columns are written.

Files, specifications and CSV keep identifiers (``emodb``, ``caam-mdd``); people read names.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from ctl_helpers.networks.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.report.markup import DAGGER
from ctl_helpers.results.runs import CONDITION
from ctl_helpers.results.statistics import Interval

OURS = "this study"
_FUNCTIONALS = {
    "egemaps": "eGeMAPS",
    "compare": "ComParE",
    "mfcc": "MFCC statistics",
}
_CLASSIFIERS = {
    "linear": "SVM (linear)",
    "rbf": "SVM (RBF)",
    "logistic": "logistic regression",
}
NAMES = {
    "casia": "CASIA",
    "emodb": "EmoDB",
    "savee": "SAVEE",
    "ravdess": "RAVDESS",
    "emovo": "EMOVO",
    "cpac": "CPAC",
    "source-only": "source only",
    "caam-released": "CAAM (as released)",
    "caam-mdd": "CAAM (MDD)",
    "dann": "DANN",
    "cdan": "CDAN",
    "cdan-e": "CDAN+E",
    "coral": "Deep CORAL",
    "mmd": "MMD",
    "jan": "JAN",
    "information": "information maximisation",
    "kfold": "shuffled k-fold",
    "stratified": "stratified k-fold",
    "loso": "leave one speaker out",
    "grouped": "speaker-grouped k-fold",
} | {
    f"{functionals}+{classifier}": f"{of_what} + {how}"
    for functionals, of_what in _FUNCTIONALS.items()
    for classifier, how in _CLASSIFIERS.items()
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
# Of these the first three are always said: they are conditions of their own. The others are what
# recipes do unless they are told otherwise.
_CONDITIONS = {
    "speaker": "per speaker",
    "corpus": "per corpus",
    "utterance": "per utterance",
    "none": "not normalised",
    "global": "scaled by the training part",
}


def name_of(identifier: str) -> str:
    """Return how a corpus or method is written: ``emodb`` is EmoDB."""
    return NAMES.get(identifier, identifier)


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
    recipe, kind = row.get("recipe", ""), row.get("normalisation", "")
    name = f"{name_of(row['method'])} {recipe}".strip()
    known = recipe.split(" (")[0]
    own = {table[known].normalisation for table in (RECIPES, TRANSFER_RECIPES) if known in table}
    if not kind or (kind in ("none", "global") and (kind in own or not own)):
        return name
    return f"{name}, {_CONDITIONS.get(kind, kind)}"


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
    words = [place_of(row), method_of(row), name_of(row["protocol"]), splits]
    return ", ".join(filter(None, words))


def part_of(row: Mapping[str, object]) -> str:
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


def transfer_words(recipe: str, scoring: str, labels: str) -> list[str]:
    """List what sets a transfer's page apart besides its pair: what is usual is left unsaid.

    Examples
    --------
    >>> transfer_words("modern", "transductive", "arousal")
    ['modern', 'arousal']
    """
    usual = ("transductive", "emotion")
    return [recipe, *(word for word in (scoring, labels) if word not in usual)]


def named_apart(table: pd.DataFrame) -> pd.DataFrame:
    """Add the variant to the recipe's name where one name stands for several settings."""
    if table.empty:
        return table
    keys = [c for c in (*CONDITION, "selection", "metric") if c in table]
    several = table.groupby(keys, sort=False)["variant"].transform("nunique") > 1
    named = table["recipe"] + " (" + table["variant"] + ")"
    return table.assign(recipe=table["recipe"].where(~several, named))
