"""Reading stored runs: a row per run, its predictions and its history.

A report holds its runs as folders, as they were computed, or as an archive of three compressed
files (see `archive`). Both are read alike; where a run is in both, its folder counts.
"""

import gzip
import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

log = logging.getLogger("ctl_helpers")

FORMAT = 3
OPTIMISTIC = "best_test"
PLACE = ["corpus", "source", "target", "protocol", "labels", "classes"]
CONDITION = [*PLACE, "method", "recipe", "normalisation"]
RUN_COLUMNS = [
    *("run", *PLACE, "split", "method", "recipe", "kind", "normalisation", "seed", "selection"),
    *("uar", "war", "macro_f1", "utterances", "train_utterances"),
    *("epochs", "seconds", "peak_memory_mb", "parameters"),
    *("reported", "variant", "folds", "of_folds", "of_utterances"),
]
PREDICTION_COLUMNS = [
    *("selection", "utterance", "corpus", "speaker", "sex", "emotion", "predicted"),
]
ARCHIVED_RUNS = "runs.jsonl.gz"
_CHECKED = ("predictions.csv", "history.csv")
_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError)


def load_runs(store: object, only: Iterable[str] | None = None) -> pd.DataFrame:
    """Read the runs of a store or of a report's archive.

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
        ``of_utterances`` say how many the whole protocol has. Damaged runs are left out; one
        warning names them.
    """
    rows = [row for *_, found in read_runs(store, only) for row in found]
    runs = pd.DataFrame(rows, columns=RUN_COLUMNS)
    order = [*CONDITION, "variant", "seed", "split", "selection"]
    return runs.sort_values(order, key=_natural, kind="stable", ignore_index=True)


def read_runs(
    store: object, only: Iterable[str] | None = None
) -> list[tuple[str, dict, dict, list[dict]]]:
    """Read specification and record of runs, and make their rows for `load_runs`.

    Parameters
    ----------
    store, only
        See `load_runs`.

    Returns
    -------
    list of tuple
        Name, specification, record, rows of `load_runs`.
    """
    root = root_of(store)
    found, damaged = {}, []
    for folder in _folders(root, only):
        try:
            spec, record = _read_folder(folder)
            found[folder.name] = (spec, record, _rows(folder.name, spec, record))
        except _DAMAGE as error:
            damaged.append(f"{folder.name} ({type(error).__name__}: {error})")
    if damaged:
        listed = re.sub(r"\s+", " ", ", ".join(damaged))
        log.warning(
            "results folder %s: %d damaged run(s) left out, run the study again to have them "
            "computed: %s",
            *(root, len(damaged), listed),
        )
    for name, spec, record in _archived(root, only):
        if name not in found:
            found[name] = (spec, record, _rows(name, spec, record))
    return [(name, *rest) for name, rest in found.items()]


def load_predictions(store: object, runs: pd.DataFrame) -> pd.DataFrame:
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
    frame = _read_tables(root_of(store), runs["run"], "predictions.csv", PREDICTION_COLUMNS)
    return runs[["run", "seed", "split", "selection"]].merge(frame, on=["run", "selection"])


def load_history(store: object, runs: pd.DataFrame) -> pd.DataFrame:
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
    frame = _read_tables(root_of(store), networks["run"], "history.csv", ["epoch", "loss"], ())
    return networks[["run", "seed", "split"]].merge(frame, on="run")


def root_of(store: Any) -> Path:
    """Return the folder of a run store, or the folder itself."""
    return Path(store if isinstance(store, str | Path) else store.root)


def _folders(root: Path, only: Iterable[str] | None) -> list[Path]:
    if only is not None:
        return [root / name for name in sorted(set(only)) if (root / name).is_dir()]
    found = sorted(root.iterdir()) if root.is_dir() else []
    return [folder for folder in found if re.fullmatch(r"[0-9a-f]{12}", folder.name)]


def archive_of(root: Path) -> Path | None:
    """Return the folder of the archive that stands in for the folders of a store, if any."""
    return next((at for at in (root, root.parent) if (at / ARCHIVED_RUNS).is_file()), None)


def _archived(root: Path, only: Iterable[str] | None) -> Iterator[tuple[str, dict, dict]]:
    archive, wanted = archive_of(root), None if only is None else set(only)
    if archive is None:
        return
    try:
        with gzip.open(archive / ARCHIVED_RUNS, "rt", encoding="utf-8") as lines:
            for line in lines:
                kept = json.loads(line)
                if wanted is None or kept["run"] in wanted:
                    yield kept["run"], kept["spec"], kept["record"]
    except (EOFError, *_DAMAGE) as error:
        log.warning("archive %s: cannot be read further (%s)", archive / ARCHIVED_RUNS, error)


def _read_folder(folder: Path) -> tuple[dict, dict]:
    """Read a run's specification and record, and check that its tables are as they were written."""
    spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
    if spec.get("format") != FORMAT:
        raise ValueError(f"expected format {FORMAT}, got {spec.get('format', 'an older one')}")
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    for name in _CHECKED:
        if digest := record["files"].get(name):
            content = (folder / name).read_bytes()
            if hashlib.blake2b(content, digest_size=len(digest) // 2).hexdigest() != digest:
                raise ValueError(f"{name} is not as it was written")
    return spec, record


def _rows(name: str, spec: Mapping[str, Any], record: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, method = spec["problem"], spec["method"]
    recipe = method.get("recipe") or {}
    varies = {key: problem.get(key) for key in ("folds", "division")}
    varies |= {"features key": method.get("features"), **recipe}
    row = {key: problem.get(key) or "" for key in ("corpus", "source", "target")} | {
        **{"run": name, "protocol": problem["protocol"], "split": problem["split"]},
        **{"labels": problem.get("labels", "emotion"), "classes": ", ".join(problem["classes"])},
        **{"method": method["name"], "kind": method["kind"], "recipe": recipe.get("name", "")},
        "normalisation": recipe.get("normalisation", "none"),
        "seed": int(spec["seed"]),
        "utterances": int(record["utterances"]["test"]),
        "train_utterances": int(record["utterances"]["train"]),
        "reported": spec["selection"],
        "variant": json.dumps(varies, sort_keys=True),
        "folds": problem.get("folds"),
    }
    more = ("epochs", "seconds", "peak_memory_mb", "parameters", "of_folds", "of_utterances")
    row |= {key: record.get(key) for key in more}
    return [
        row | {"selection": selection} | {k: float(found[k]) for k in ("uar", "war", "macro_f1")}
        for selection, found in record["scores"].items()
        if found
    ]


def _natural(column: pd.Series) -> pd.Series:
    """Order "fold 10" after "fold 9"."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda text: re.sub(r"\d+", lambda digits: digits[0].zfill(6), str(text)))


def _read_tables(
    root: Path,
    runs: Iterable[str],
    file: str,
    columns: list[str],
    text: Iterable[str] = PREDICTION_COLUMNS,
) -> pd.DataFrame:
    """Read one CSV file of several runs, from their folders or the archive, with a column run."""
    frames, missing, names = [], [], set(runs)
    for run in sorted(names):
        if (path := root / run / file).is_file():
            frames.append(_read_csv(path, text).assign(run=run))
        else:
            missing.append(run)
    archive = archive_of(root)
    if missing and archive is not None:
        frame = _read_csv(archive / f"{file}.gz", text)
        frames.append(frame[frame["run"].isin(missing)])
        missing = sorted(set(missing) - set(frame["run"]))
    if missing:
        log.warning("results folder %s: no %s of %s", root, file, ", ".join(missing))
    if not frames:
        return pd.DataFrame(columns=["run", *columns])
    return pd.concat(frames, ignore_index=True)


def _read_csv(path: Path, text: Iterable[str]) -> pd.DataFrame:
    # A speaker "03" stays text, and one called NA is not missing.
    words = dict.fromkeys(["run", *text], str)
    frame = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=[""])
    return frame.fillna({name: "" for name in words if name in frame})
