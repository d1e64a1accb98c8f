"""The run store: a folder per run, there whole or not at all, and frames made from many of them.

A *run* is the unit of work (one fold, or one source-target pair, of one recipe and seed). It is a
pure function of its specification, and its folder is named after the specification's hash.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError
from ctl_helpers.statistics import Interval, bootstrap_interval, mean_interval

try:
    import fcntl
except ImportError:  # Windows: two processes may then compute the same run, and one is discarded
    fcntl = None

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


def canonical(value: Any) -> Any:
    """Reduce a value to what JSON knows, so that equal specifications are written alike.

    Parameters
    ----------
    value
        Mappings, sequences, dataclasses, paths, NumPy scalars and arrays, numbers, strings, None.

    Returns
    -------
    dict, list, str, int, float, bool or None
        Whole floats become integers and numbers that are not finite become None.

    Raises
    ------
    StudyError
        For a value that JSON cannot hold.

    Examples
    --------
    >>> canonical({"rate": np.float64(2.0), "shape": (3, 3)})
    {'rate': 2, 'shape': [3, 3]}
    """
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic | np.ndarray):
        return canonical(value.tolist())
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return int(value) if value.is_integer() else float(value)
    if is_dataclass(value) and not isinstance(value, type):
        return canonical(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    raise StudyError(f"expected a value that JSON can hold, got {type(value).__name__}: {value!r}")


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as canonical JSON: sorted keys, UTF-8, one final newline."""
    text = json.dumps(canonical(value), sort_keys=True, indent=1, ensure_ascii=False)
    Path(path).write_text(text + "\n", encoding="utf-8")


def spec_hash(spec: Mapping[str, Any]) -> str:
    """Name a specification: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON.

    Parameters
    ----------
    spec
        A run's specification; the order of its keys does not matter.

    Returns
    -------
    str

    Examples
    --------
    >>> spec_hash({"seed": 0, "task": "cpac"}) == spec_hash({"task": "cpac", "seed": 0.0})
    True
    """
    text = json.dumps(canonical(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class RunStore:
    """A folder of run folders.

    Parameters
    ----------
    root
        The folder; made with the first run that is computed.

    Examples
    --------
    >>> import tempfile
    >>> store = RunStore(tempfile.mkdtemp())
    >>> run = store.compute({"seed": 0}, lambda folder: write_json(folder / "metrics.json", {}))
    >>> sorted(file.name for file in run.iterdir()), store.has({"seed": 0})
    (['metrics.json', 'spec.json'], True)
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def folder(self, spec: Mapping[str, Any]) -> Path:
        """Return where the run of this specification is, or will be."""
        return self.root / spec_hash(spec)

    def has(self, spec: Mapping[str, Any]) -> bool:
        """Say whether the run of this specification is there, whole."""
        return _whole(self.folder(spec))

    def compute(self, spec: Mapping[str, Any], function: Callable[[Path], Any]) -> Path:
        """Return the folder of a run, computing the run only if it is not there.

        The run is written to ``<hash>.partial``, which is moved into place when it is complete. A
        process that is killed leaves that folder behind and the next one is given it again, with
        the checkpoint that may lie in it. A second process that asks for the same run waits for
        the first; where files cannot be locked both compute, and the last to end discards its own.

        Parameters
        ----------
        spec
            The run's specification.
        function
            Called with the partial folder, into which it writes the run's files.

        Returns
        -------
        pathlib.Path
            The run's folder.

        Raises
        ------
        StudyError
            If the folder cannot be written: no permission, read-only, full disk.
        """
        final = self.folder(spec)
        if _whole(final):
            return final
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with _claimed(final) as partial:
                if not _whole(final):
                    partial.mkdir(exist_ok=True)
                    write_json(partial / "spec.json", spec)
                    function(partial)
                    _move_into_place(partial, final)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StudyError(
                f"results folder {self.root}: cannot write run {final.name} ({reason}); "
                "expected a folder that can be written, on a disk with free space"
            ) from error
        return final


def _whole(folder: Path) -> bool:
    return os.path.isfile(folder / "spec.json")


@contextlib.contextmanager
def _claimed(final: Path) -> Iterator[Path]:
    """Hold the lock of a run and yield its partial folder; a dead holder's lock is free."""
    lock = final.with_name(final.name + ".lock")
    with open(lock, "a", encoding="utf-8") as handle:
        partial = final.with_name(final.name + ".partial")
        try:
            if fcntl is None:
                raise OSError("no file locks on this platform")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                log.info("run %s is being computed by another process: waiting", final.name)
                fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # some network file systems have none: work in a folder of one's own
            partial = final.with_name(f"{final.name}.{os.getpid()}.partial")
        yield partial
        # Only a run that is whole gives its lock file up: whoever still waits on the removed file
        # then finds the run, and computes nothing.
        if _whole(final):
            lock.unlink(missing_ok=True)


def _move_into_place(partial: Path, final: Path) -> None:
    for path in [*partial.rglob("*"), partial]:
        _flush(path)
    try:
        partial.rename(final)
    except OSError:
        if not final.is_dir():
            raise
        if _whole(final):  # another process was first
            shutil.rmtree(partial)
            return
        shutil.rmtree(final)  # the remains of a run that someone has tampered with
        partial.rename(final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    """Make sure that a file or folder has reached the disk."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
