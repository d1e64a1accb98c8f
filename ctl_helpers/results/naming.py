"""Naming: how corpora, methods, conditions, rows and columns are written.

Files, specifications and CSV keep identifiers (``emodb``, ``caam-mdd``); people read names.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd

from ctl_helpers.features import SECONDS
from ctl_helpers.methods import split_members
from ctl_helpers.results.runs import CONDITION, OPTIMISTIC

DAGGER = "†"
OURS = "this study"
_DATA = tomllib.loads((files("ctl_helpers.results") / "names.toml").read_text(encoding="utf-8"))
NAMES, HEADINGS, RULES = _DATA["names"], _DATA["headings"], _DATA["rules"]
TESTED_BY: dict[str, list[str]] = _DATA["tested_by"]
_SAID = {"speaker": "per speaker", "corpus": "per corpus", "utterance": "per utterance"}
_SAID |= {kind: f"per speaker by {seconds:.0f} s" for kind, seconds in SECONDS.items()}
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
        mean = fused[1].replace("geometric", "geometric mean")
        return f"{mean} of {', '.join(map(name_of, split_members(fused[2])))}"
    if identifier.startswith("given:"):
        return identifier.removeprefix("given:")
    for mark, joint in (("+", " + "), ("/", " ")):
        parts = identifier.split(mark)
        if len(parts) > 1 and parts[0] in NAMES:  # a recipe may be called as its method is
            return joint.join(name_of(part) for part in dict.fromkeys(parts) if part)
    return identifier


def method_of(row: Mapping[str, str]) -> str:
    """Return how a row's method is written, with its recipe and the condition it was run under.

    Parameters
    ----------
    row
        ``method``, and ``recipe``, ``normalisation`` and ``selection`` where there are any. An
        epoch that was picked by its score on the test part gets a dagger.

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
    recipe, name = row.get("recipe", ""), name_of(row["method"])
    if recipe not in (row["method"], "", *re.findall(r"\w+", name)):  # said already
        name = f"{name} {recipe}"
    selection = row.get("selection", "")
    by = f"epoch by {selection}" if selection not in ("", "last", OPTIMISTIC) else ""
    said = [name, _SAID.get(row.get("normalisation", ""), ""), by]
    return ", ".join(filter(None, said)) + f" {DAGGER}" * (selection == OPTIMISTIC)


def said_of(normalisation: str) -> str:
    """Say whose speech a normalisation uses, if that is a voice's or a corpus's own; else ""."""
    return _SAID.get(normalisation, "") if normalisation != "utterance" else ""


def place_of(row: Mapping[str, str]) -> str:
    """Return how a row's corpus, or its pair, is written: ``EmoDB``, ``CASIA → EmoDB``."""
    if row.get("corpus"):
        return name_of(row["corpus"])
    if row["source"] == "mean":  # over the pairs that the target counts
        return row["target"]
    return f"{name_of(row['source'])} → {name_of(row['target'])}"


def label_of(row: Mapping[str, str]) -> str:
    """Return a method's name for a list of ours and published ones, with who reports the latter."""
    if row["reported_by"] != OURS:
        return f"{name_of(row['method'])} ({row['reported_by']})"
    return method_of(row)


def title_of(row: Mapping[str, str], *words: str) -> str:
    """Say what a row is of: its place, other words, its labels; what is usual is left out."""
    said = [place_of(row), *words, row.get("labels", "emotion")]
    return ", ".join(word for word in said if word not in ("", "transductive", "emotion"))


def part_of(row: Mapping[str, Any]) -> str:
    """Say how much of its protocol a row ran, ``1 of 10 folds``; empty where it is all of it."""
    for unit in ("folds", "utterances"):
        done, all_of_them = row.get(unit), row.get(f"of_{unit}")
        if pd.notna(done) and pd.notna(all_of_them) and done < all_of_them:
            return f"{done:.0f} of {all_of_them:.0f} {unit}"
    return ""


def label_with_part_of(row: Mapping[str, Any]) -> str:
    """Return `label_of` a row, and how much of its protocol ran where it is not all of it."""
    return ", ".join(filter(None, (label_of(row), part_of(row))))


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
