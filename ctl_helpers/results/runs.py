"""Frames made from many runs.

A *run* is the unit of work (one fold, or one source-target pair, of one recipe and seed). It is a
pure function of its specification, and its folder is named after the specification's hash.
"""

import json
import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.results.statistics import Interval, bootstrap_interval, mean_interval
from ctl_helpers.runs.store import RunStore, spec_hash

log = logging.getLogger("ctl_helpers")

CONDITION = ["task", "corpus", "source", "target", "protocol", "method", "recipe", "normalisation"]
RUN_COLUMNS = [
    *("run", "task", "corpus", "source", "target", "protocol", "split", "method", "recipe"),
    *("normalisation", "seed", "selection", "uar", "war", "macro_f1", "utterances"),
    *("train_utterances", "epochs", "seconds", "peak_memory_mb", "parameters"),
    *("reported", "variant", "of_folds", "of_utterances"),
]
PREDICTION_COLUMNS = ["utterance", "corpus", "speaker", "sex", "emotion", "predicted"]
_VARIES = ("recipe", "features", "emotions", "folds")
_SCORES = ("uar", "war", "macro_f1", "pooled_uar", "pooled_war")
SUMMARY_COLUMNS = [
    *(*CONDITION, "selection", "variant", "optimistic"),
    *(f"{score}{end}" for score in _SCORES for end in ("", "_low", "_high")),
    *("speaker_low", "speaker_high"),
    *("utterances", "of_utterances", "folds", "of_folds", "seeds", "runs", "splits", "seconds"),
]
OPTIMISTIC = "best_test"


def load_runs(store: RunStore | str | Path) -> pd.DataFrame:
    """Read every whole run of a store.

    Parameters
    ----------
    store
        The store or its folder; a folder that is not there holds no runs.

    Returns
    -------
    pandas.DataFrame
        A row per run and epoch selection, columns `RUN_COLUMNS`; scores are fractions. A run that
        was told to report its best test epoch gives two rows of the same training: selection
        ``last`` and the optimistic ``best_test`` (``reported`` says what it was told).
        Across corpora ``protocol`` is the scoring, with the labels where these are not emotions.
        ``utterances`` counts the test part, ``variant`` tells apart runs whose recipe, features or
        emotions differ under the same names, ``of_folds`` and ``of_utterances`` say how many a
        whole protocol has, where that is known. A damaged folder is left out, with a warning.
    """
    root = store.root if isinstance(store, RunStore) else Path(store)
    rows, damaged = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else []:
        if not re.fullmatch(r"[0-9a-f]{12}", folder.name):
            continue
        try:
            rows += _rows_of_run(folder)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged.append(f"{folder.name} ({type(error).__name__}: {error})")
    if damaged:
        log.warning(
            "results folder %s: %d damaged run(s) left out, remove them to have them computed "
            "again: %s",
            *(root, len(damaged), ", ".join(damaged).replace("\n", " ")),
        )
    runs = pd.DataFrame(rows, columns=RUN_COLUMNS)
    order = [*CONDITION, "variant", "seed", "split", "selection"]
    return runs.sort_values(order, key=_natural, kind="stable", ignore_index=True)


def _rows_of_run(folder: Path) -> list[dict[str, Any]]:
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    recipe = spec.get("recipe") or {}
    recipe = recipe if isinstance(recipe, dict) else {"name": recipe}
    selection = spec.get("selection", "last")
    row = {name: spec.get(name, "") for name in RUN_COLUMNS[1:8]} | {
        "run": folder.name,
        "recipe": recipe.get("name", ""),
        "normalisation": recipe.get("normalisation", spec.get("normalisation", "none")),
        "seed": int(spec.get("seed", 0)),
        "utterances": int(metrics["utterances"]["test"]),
        "train_utterances": int(metrics["utterances"]["train"]),
        "reported": selection,
        "variant": spec_hash({name: spec.get(name) for name in _VARIES})[:6],
        "of_folds": spec.get("folds"),
        "of_utterances": _tested_in_all(spec, metrics),
    }
    row |= {k: metrics.get(k) for k in ("epochs", "seconds", "peak_memory_mb", "parameters")}
    if spec.get("labels", "emotion") != "emotion":
        row["protocol"] = f"{row['protocol']}, {spec['labels']}"
    names = ["last", OPTIMISTIC] if selection == OPTIMISTIC else [selection]
    return [
        row | {"selection": name} | {k: float(metrics[name][k]) for k in ("uar", "war", "macro_f1")}
        for name in names
    ]


def _tested_in_all(spec: Mapping[str, Any], metrics: Mapping[str, Any]) -> int | None:
    """Utterances that all splits of a run's protocol test, each once; None where that varies."""
    if spec.get("task") == "transfer" or ":" in spec.get("protocol", ""):
        return None
    return sum(map(int, metrics["utterances"].values()))


def _natural(column: pd.Series) -> pd.Series:
    """Order "fold 10" after "fold 9"."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda text: re.sub(r"\d+", lambda digits: digits[0].zfill(6), str(text)))


def load_predictions(store: RunStore | str | Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Read the predictions per test utterance of some runs.

    Parameters
    ----------
    store
        The store or its folder.
    runs
        Rows of `load_runs`. Of a run that reports its best test epoch, ``predictions.csv`` holds
        that epoch and ``predictions_last.csv``, where it is kept, the last.

    Returns
    -------
    pandas.DataFrame
        Columns run, seed, split, selection, then those of the files: utterance, corpus, speaker,
        sex, emotion, predicted, p_<emotion>.
    """
    root = store.root if isinstance(store, RunStore) else Path(store)
    frames, missing = [], []
    for row in runs.itertuples():
        expected = row.selection == row.reported
        name = "predictions.csv" if expected else f"predictions_{row.selection}.csv"
        try:
            frame = _read_predictions(root / row.run / name)
        except (OSError, ValueError) as error:
            if expected or not isinstance(error, FileNotFoundError):
                missing.append(f"{row.run}/{name} ({type(error).__name__})")
            continue
        for position, key in enumerate(["run", "seed", "split", "selection"]):
            frame.insert(position, key, getattr(row, key))
        frames.append(frame)
    if missing:
        log.warning("results folder %s: cannot read %s", root, ", ".join(missing))
    columns = ["run", "seed", "split", "selection", *PREDICTION_COLUMNS]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def _read_predictions(path: Path) -> pd.DataFrame:
    # An id such as "03" stays text, and a speaker called NA is not missing.
    text = {name: str for name in PREDICTION_COLUMNS}
    frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    absent = [name for name in PREDICTION_COLUMNS if name not in frame]
    if absent:
        raise StudyError(f"{path}: expected the columns {', '.join(absent)}")
    return frame.fillna({name: "" for name in PREDICTION_COLUMNS})


def load_history(store: RunStore | str | Path, runs: pd.DataFrame) -> pd.DataFrame:
    """Read the history per epoch of some runs.

    Parameters
    ----------
    store
        The store or its folder.
    runs
        Rows of `load_runs`; a run with two rows is read once.

    Returns
    -------
    pandas.DataFrame
        Columns run, seed, split, then those of ``history.csv``: epoch, loss and, where they were
        measured, accuracy, val_loss, val_uar, test_war, test_uar and others.
    """
    root = store.root if isinstance(store, RunStore) else Path(store)
    frames = []
    for row in runs.drop_duplicates("run").itertuples():
        try:
            frame = pd.read_csv(root / row.run / "history.csv")
        except (OSError, ValueError) as error:
            log.warning("results folder %s: no history of run %s: %s", root, row.run, error)
            continue
        for position, key in enumerate(["run", "seed", "split"]):
            frame.insert(position, key, getattr(row, key))
        frames.append(frame)
    columns = ["run", "seed", "split", "epoch", "loss"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


def summary(runs: pd.DataFrame, predictions: pd.DataFrame | None = None) -> pd.DataFrame:
    """Summarise runs: a row per condition, each number with its 95 % interval.

    Parameters
    ----------
    runs
        From `load_runs`.
    predictions
        From `load_predictions`; without them the pooled columns are NaN.

    Returns
    -------
    pandas.DataFrame
        The condition (task, corpus or source and target, protocol, method, recipe, normalisation,
        selection, variant); ``optimistic``, True where the epoch was picked on the test part;
        uar, war, macro_f1: mean over folds of the mean over seeds, with ``_low`` and ``_high`` by
        Student's t over folds (over seeds where there is one split); ``pooled_uar``,
        ``pooled_war`` over all utterances at once, mean over seeds, with a bootstrap interval over
        utterances, and ``speaker_low``, ``speaker_high``: that of pooled UAR over speakers;
        utterances (tested, in one seed), folds, each with ``of_``, how many the whole protocol
        has; seeds, runs, splits, seconds (mean per run). Scores are fractions.
    """
    rows = []
    for key, group in runs.groupby([*CONDITION, "selection", "variant"], sort=False):
        row = dict(zip([*CONDITION, "selection", "variant"], key, strict=True))
        row["optimistic"] = row["selection"] == OPTIMISTIC
        for metric in ("uar", "war", "macro_f1"):
            row |= _columns(metric, fold_interval(group, metric))
        row |= _pooled(group, predictions)
        splits = group.drop_duplicates("split")
        row |= {
            "utterances": int(splits["utterances"].sum()),
            "of_utterances": group["of_utterances"].astype(float).max(),
            "folds": len(splits),
            "of_folds": group["of_folds"].astype(float).max(),
            "seeds": group["seed"].nunique(),
            "runs": len(group),
            "splits": "; ".join(splits["split"].astype(str)),
            "seconds": group["seconds"].astype(float).mean(),
        }
        rows.append(row)
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def fold_interval(runs: pd.DataFrame, column: str) -> Interval:
    """Mean of a column over folds, of each fold over seeds, with its t interval.

    Seeds of one fold are no independent folds: they are averaged first. Where there is one split
    only, and across corpora, where each seed divides the target anew, the interval is over seeds.
    """
    across = (runs["task"] == "transfer").all()
    unit = "seed" if across or runs["split"].nunique() == 1 else "split"
    return mean_interval(runs.groupby(unit)[column].mean())


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _pooled(group: pd.DataFrame, predictions: pd.DataFrame | None) -> dict[str, float]:
    uar = war = speakers = Interval(math.nan, math.nan, math.nan)
    if predictions is not None:
        mine = predictions[predictions["run"].isin(group["run"])]
        mine = mine[mine["selection"] == group["selection"].iloc[0]]
        if mine["run"].nunique() == len(group):
            uar, war = pooled_interval(mine, "uar"), pooled_interval(mine, "war")
            speakers = pooled_interval(mine, "uar", over_speakers=True)
    return (
        _columns("pooled_uar", uar)
        | _columns("pooled_war", war)
        | {"speaker_low": speakers.low, "speaker_high": speakers.high}
    )


def pooled_interval(
    predictions: pd.DataFrame, metric: str, *, over_speakers: bool = False
) -> Interval:
    """Score all utterances of one condition at once, with its bootstrap interval.

    Parameters
    ----------
    predictions
        From `load_predictions`.
    metric
        ``"uar"`` or ``"war"``.
    over_speakers
        Draw whole speakers in place of utterances.

    Returns
    -------
    Interval
        Mean over seeds: several seeds speak about the same utterances, so they narrow nothing.
    """
    intervals = [
        bootstrap_interval(
            part["emotion"].to_numpy(),
            part["predicted"].to_numpy(),
            metric,
            speakers=part["speaker"].to_numpy(str) if over_speakers else None,
        )
        for _, part in predictions.groupby("seed")
    ]
    return Interval(*(float(value) for value in np.mean(intervals, axis=0)))
