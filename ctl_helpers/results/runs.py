"""Reading stored runs: a row per run, its predictions and its history.

A report holds its runs as folders, as they were computed, or as an archive of three compressed
files (see `archive`). Both are read alike; where a run is in both, its folder counts, unless it is
damaged.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.errors import log
from ctl_helpers.networks.recipes import RECIPES, TRANSFER_RECIPES
from ctl_helpers.protocols import Problem
from ctl_helpers.runs import FORMAT
from ctl_helpers.runs.store import RunStore, StorePath, canonical, damage, read_archive, write_text

ASKED = "asked.txt"
"""File of a report with the names of the runs that its latest study asks for."""
OPTIMISTIC = "best_test"
SPEAKERS_APART = ("loso", "grouped", "strangers")  # protocols that hold speakers out, by their name
PLACE = ["corpus", "source", "target", "protocol", "labels", "classes"]
CONDITION = [*PLACE, "method", "recipe", "normalisation"]
# What makes runs the same, and the same but for a corpus or a file whose content changed.
_EXACT, _ALIKE = ([*CONDITION, how, "selection"] for how in ("variant", "alike"))
# What is divided in one way, and what of one code: averages are over pairs, divisions and
# protocols, too.
_DIVIDED = ["corpus", "source", "target", "labels", "protocol", "divided"]
_CODE = [*("corpus", "protocol", "labels"), *CONDITION[len(PLACE) :], "settings", "selection"]
_RECORDED = ["epochs", "seconds", "peak_memory_mb", "parameters", "of_folds", "of_utterances"]
RUN_COLUMNS = [
    *("run", *PLACE, "split", "method", "recipe", "kind", "normalisation", "seed", "selection"),
    *("uar", "war", "utterances", "train_utterances", *_RECORDED[:4]),
    *("reported", "variant", "folds", "of_folds", "of_utterances"),
    *("synthetic", "held_out", "finished"),
]
_VERSIONS = ["divided", "corpora", "data", "code"]  # columns for `study_runs` alone


def load_runs(store: StorePath, only: Iterable[str] | None = None) -> pd.DataFrame:
    """Read the runs of a store, and of the archive beside it.

    Parameters
    ----------
    store
        The run store or its folder; a folder that is not there holds no runs.
    only
        Names of runs; no others are opened. All by default.

    Returns
    -------
    pandas.DataFrame
        A row per run and scored epoch, columns `RUN_COLUMNS`; scores are fractions. A run whose
        specification asks for the best test epoch gives two rows of the same training: selection
        ``last`` and the optimistic ``best_test``; ``reported`` is what was asked for. Runs across
        corpora have a ``source``, others none. ``classes`` joins the names of the classes,
        ``utterances`` counts the test part, ``variant`` (JSON of all settings) tells apart runs of
        the same names whose settings, features or division differ, ``of_folds`` and
        ``of_utterances`` say how many the whole protocol has, ``synthetic`` whether the speech is,
        ``held_out`` whether no speaker of the test part was trained on, ``finished`` when the run
        was. Damaged runs are taken from the archive, or left out; a warning names them.

    Raises
    ------
    StudyError
        If the archive is damaged.
    """
    return _with_versions(store, only)[RUN_COLUMNS]


def _with_versions(store: StorePath, only: Iterable[str] | None = None) -> pd.DataFrame:
    rows = [row for stored in read_runs(store, only) for row in _rows(**stored)]
    runs = pd.DataFrame(rows, columns=[*RUN_COLUMNS, *_VERSIONS]).astype({"synthetic": bool})
    order = [*CONDITION, "variant", "seed", "split", "selection"]
    return runs.sort_values(order, key=_natural, kind="stable", ignore_index=True)


def study_runs(out: str | Path) -> pd.DataFrame:
    """Read the runs of a report.

    Parameters
    ----------
    out
        The report's folder.

    Returns
    -------
    pandas.DataFrame
        See `load_runs`. Where runs of one condition exclude each other, because the corpus, its
        labels, its features or a version changed, those count that the latest study asks for, and
        of the others those that finished last. Of code of one's own that was edited, and of a
        corpus whose sounds, labels or division were, one version counts, inside it and across
        corpora, so that no average is over several and no two methods are scored on different
        labels. A fusion of features whose other runs do not count any more does not either, nor do
        splits that a changed corpus no longer has. Runs on synthetic speech count where there are
        no others.
    """
    runs = _with_versions(Path(out) / "runs")
    if not runs["synthetic"].all():
        runs = runs[~runs["synthetic"]]
    asked = Path(out) / ASKED
    names = asked.read_text().split() if asked.is_file() else []
    runs = runs.assign(asked=runs["run"].isin(names))
    runs = runs.sort_values(["asked", "finished"], kind="stable")
    runs = runs.assign(alike=without(runs["variant"], "features key", "content"))
    runs = runs.assign(settings=without(runs["alike"], "division", "folds"))
    counting = _of_one_version(_of_present_corpora(runs), "data", _DIVIDED)
    counting = _of_one_version(counting, "code", _CODE)
    counting = _of_newest_size(_not_superseded(counting))
    counting = _of_present_splits(counting)
    counting = counting[~_of_old_features(counting, runs)]
    return counting[RUN_COLUMNS].sort_index().reset_index(drop=True)


def _of_present_corpora(runs: pd.DataFrame) -> pd.DataFrame:
    """Leave out runs on another version of a corpus than is asked for, or else ran last."""
    versions = [json.loads(one) for one in runs["corpora"]]
    present: dict[str, str] = {}
    for one in versions:  # those asked for come last
        present |= one
    is_present = np.array([one.items() <= present.items() for one in versions], bool)
    return runs[runs["asked"] | is_present]


def _of_one_version(runs: pd.DataFrame, what: str, alike: list[str]) -> pd.DataFrame:
    """Keep of runs alike the version of data or code that is asked for, or else that ran last.

    Runs of a version that is not known, as it was not recorded, count beside it.
    """
    version = runs[what].where(runs[what].ne(""))
    chosen = version.groupby([runs[key] for key in alike]).transform("last")
    return runs[runs["asked"] | version.isna() | version.eq(chosen)]


def _not_superseded(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep of runs that exclude each other those asked for, and of the same run the last."""
    same = [key for key in _ALIKE if key != "classes"]  # other labels exclude each other, too
    is_asked = runs.groupby([*same, "split", "seed"])["asked"].transform("any")
    kept = runs[runs["asked"] | ~is_asked]
    return kept.drop_duplicates([*_EXACT, "split", "seed"], keep="last")


def _of_newest_size(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the runs of as many folds and utterances as the last that is alike."""
    size = runs[["of_folds", "of_utterances"]].astype(float).fillna(0)
    newest = size.groupby([runs[key] for key in _ALIKE]).transform("last")
    return runs[size.eq(newest).all(axis=1)]


def _of_present_splits(runs: pd.DataFrame) -> pd.DataFrame:
    """Keep the last splits, as many as there are: a speaker of another name is another split."""
    when = runs.assign(when=range(len(runs))).groupby([*_EXACT, "split"])["when"].max()
    rank = when.groupby(level=_EXACT).rank(ascending=False).rename("rank")
    ranked = runs.join(rank, on=[*_EXACT, "split"])
    return runs[ranked["rank"].le(ranked["of_folds"].astype(float).fillna(np.inf)).to_numpy()]


def _of_old_features(counting: pd.DataFrame, runs: pd.DataFrame) -> np.ndarray:
    """Mark the fusions of features whose other runs no longer count, as their file was edited."""

    def keys(some: pd.DataFrame) -> list[set]:
        return [{*(json.loads(one).get("features key") or ())} for one in some["variant"]]

    before, now = (some[some["kind"] != "fusion"] for some in (runs, counting))
    old = set().union(*keys(before)) - set().union(*keys(now))
    is_old = np.array([bool(old & one) for one in keys(counting)], bool)
    return is_old & counting["kind"].eq("fusion")


def ask_for(out: str | Path, names: Iterable[str]) -> None:
    """Write down which runs the latest study of a report asks for; see `study_runs`."""
    write_text(Path(out) / ASKED, "\n".join(sorted(names)))


def without(variants: pd.Series, *settings: str) -> pd.Series:
    """Leave settings out of the column ``variant`` of runs."""
    found = [json.loads(variant) | dict.fromkeys(settings) for variant in variants]
    return pd.Series([json.dumps(one, sort_keys=True) for one in found], variants.index, str)


def read_runs(store: StorePath, only: Iterable[str] | None = None) -> list[dict]:
    """Read name, specification and record of runs, for `load_runs`, whose parameters they are."""
    root, wanted = Path(store), None if only is None else set(only)
    found, damaged = {}, {}
    for folder in sorted(root.glob("[0-9a-f]" * 12)):
        name = folder.name
        if wanted is not None and name not in wanted:
            continue
        if fault := damage(folder):
            damaged[name] = fault
            continue
        row = {one: json.loads((folder / f"{one}.json").read_text()) for one in ("spec", "record")}
        if (got := row["spec"].get("format")) == FORMAT:
            found[name] = {"run": name} | row
        else:
            damaged[name] = f"expected format {FORMAT}, got {got}"
    for row in read_archive(root.parent):
        there = wanted is None or row["run"] in wanted
        if there and row["spec"].get("format") == FORMAT:
            found.setdefault(row["run"], row)
    archived = {name: fault for name, fault in damaged.items() if name in found}
    others = {name: fault for name, fault in damaged.items() if name not in found}
    _warn_of(root, archived, "taken from the archive")
    _warn_of(root, others, "left out, run the study again to have them computed")
    return list(found.values())


def _warn_of(root: Path, damaged: Mapping[str, str], what: str) -> None:
    if damaged:
        listed = [f"{name} ({fault})" for name, fault in damaged.items()]
        listed = " ".join(", ".join([*listed[:20], *["..."] * (len(listed) > 20)]).split())
        log.warning("results folder %s: %d damaged run(s) %s: %s", root, len(damaged), what, listed)


def load_predictions(store: StorePath, runs: pd.DataFrame) -> pd.DataFrame:
    """Read the predictions per test utterance of some runs.

    Parameters
    ----------
    store
        The run store or its folder.
    runs
        Rows of `load_runs`: the predictions are those of their scored epochs.

    Returns
    -------
    pandas.DataFrame
        Columns run, seed, split, selection, utterance, corpus, speaker, sex, emotion, predicted,
        p_<class> (fractions; NaN for classes of other runs).
    """
    frame = RunStore(Path(store)).tables("predictions.csv", runs["run"])
    return runs[["run", "seed", "split", "selection"]].merge(frame, on=["run", "selection"])


def predicted_by(runs: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """Pick the predictions of some runs, of the epochs that are scored."""
    near = predictions[predictions["run"].isin(runs["run"])]  # a merge with all of them is slow
    return near.merge(runs[["run", "selection"]])


def load_history(store: StorePath, runs: pd.DataFrame) -> pd.DataFrame:
    """Read the history per epoch of the networks among some runs.

    Parameters
    ----------
    store
        The run store or its folder.
    runs
        Rows of `load_runs`; a run with two rows is read once.

    Returns
    -------
    pandas.DataFrame
        Columns run, seed, split, epoch, loss and, where they were measured, accuracy, test_uar,
        test_war, validation_uar, validation_war, discrepancy.
    """
    networks = runs[runs["kind"].isin(("network", "adaptation"))].drop_duplicates("run")
    frame = RunStore(Path(store)).tables("history.csv", networks["run"])
    return networks[["run", "seed", "split"]].merge(frame, on="run")


def grouped(
    frame: pd.DataFrame, keys: Iterable[str]
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Give each group of rows that are alike in some columns: these columns' values, the rows."""
    keys = list(keys)
    for values, group in frame.groupby(keys, sort=False):
        yield dict(zip(keys, values, strict=True)), group


def matching(frame: pd.DataFrame, values: Mapping[str, Any]) -> pd.DataFrame:
    """Pick the rows that have these values."""
    kept = np.full(len(frame), True)
    for column, value in values.items():
        kept &= frame[column].eq(value).to_numpy(bool)
    return frame[kept]


def as_named(runs: pd.DataFrame, free: tuple[str, ...] = ()) -> pd.DataFrame:
    """Pick the runs of recipes as they are named: no field is changed, but for the free ones.

    Runs of another division than the usual one are left out, too.
    """
    rows = zip(runs["source"], runs["kind"], runs["recipe"], runs["variant"], strict=True)
    kept = [_is_as_named(source != "", *row, free) for source, *row in rows]
    return runs[np.array(kept, bool)]


@cache
def _is_as_named(across: bool, kind: str, recipe: str, variant: str, free: tuple) -> bool:
    settings = json.loads(variant)
    recipes = TRANSFER_RECIPES if kind == "adaptation" else RECIPES
    if recipe and recipe not in recipes:  # a changed one, as its name says
        return False
    own = canonical(recipes[recipe].spec()) if recipe else {}
    if own and settings.get("network") != own["network"]:  # another one has its own settings
        free = (*free, "network", "settings")
    usual = across or settings.get("division") == Problem.division
    return usual and all(settings.get(key) == own[key] for key in own if key not in free)


def _rows(run: str, spec: Mapping[str, Any], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, method = spec["problem"], spec["method"]
    recipe, across = method.get("recipe") or {}, bool(problem.get("source"))
    halved = problem["protocol"] == "inductive"  # by each seed into halves of its own
    varies = {"folds": problem.get("folds"), "features key": method.get("features"), **recipe}
    varies["division"] = None if halved else problem.get("division")
    for hashed in ("members", "source"):  # of these the name tells which; the rest is no setting
        varies.pop(hashed, None)
    row = {key: problem.get(key) or "" for key in ("corpus", "source", "target")} | {
        **{"run": run, "protocol": problem["protocol"], "split": problem["split"]},
        **{"labels": problem.get("labels", "emotion"), "classes": ", ".join(problem["classes"])},
        **{"method": method["name"], "kind": method["kind"], "recipe": recipe.get("name", "")},
        "normalisation": recipe.get("normalisation", "none"),
        "seed": int(problem["division"] if halved else spec["seed"]),
        **{"reported": spec["selection"], "folds": problem.get("folds")},
        "utterances": int(record["utterances"]["test"]),
        "train_utterances": int(record["utterances"]["train"]),
        "variant": json.dumps(varies, sort_keys=True),
        "synthetic": bool(record.get("synthetic")),
        "held_out": record.get("held_out", across or problem["protocol"] in SPEAKERS_APART),
        "finished": record.get("environment", {}).get("finished", ""),
        "divided": f"{problem.get('folds')} {problem.get('division')}",
        "corpora": json.dumps(record.get("corpora", {})),
        "data": record.get("data", ""),
        "code": " ".join(_code(method)),
        **{key: record.get(key) for key in _RECORDED},
    }
    found = record["scores"].items()
    return [row | {"selection": selection} | scores for selection, scores in found if scores]


def _code(method: Mapping[str, Any]) -> Iterator[str]:
    """Give the hashes of the files of one's own that a method, or a fusion's members, consist of.

    A file of given predictions is not among them: its hash stands in the column ``variant``.
    """
    recipe = method.get("recipe") or {}
    yield from filter(None, (method.get("source"), recipe.get("source")))
    for member in recipe.get("members", ()):
        yield from _code(member)
        yield from filter(None, [member.get("recipe", {}).get("content")])


def _natural(column: pd.Series) -> pd.Series:
    """Order "fold 10" after "fold 9"."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda text: re.sub(r"\d+", lambda digits: digits[0].zfill(6), str(text)))
