"""The run store: a folder per run, there whole or not at all.

A *run* is one method on one problem with one seed. It is a pure function of its specification, and
its folder is named after the specification's hash.
"""

import bz2
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ctl_helpers.errors import StudyError, log
from ctl_helpers.runs import FORMAT

# How an archive writes probabilities. Fusions read no more of a run's folder: both are alike.
ARCHIVED = "%.3f"

StorePath = str | os.PathLike[str]  # a RunStore, or its folder
_WORDS = ("run", "selection", "utterance", "corpus", "speaker", "sex", "emotion", "predicted")


def canonical(value: Any) -> Any:
    """Reduce a value to what JSON knows, so that equal specifications are written alike.

    Parameters
    ----------
    value
        Dicts, lists, tuples, NumPy scalars and arrays, numbers, strings, None.

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
    text = json.dumps(value, default=_plain)
    return json.loads(text, parse_float=_number, parse_constant=lambda infinite: None)


def _plain(value: Any) -> Any:
    """Give what NumPy has as something that JSON knows."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise StudyError(f"expected a value that JSON can hold, got {type(value).__name__}: {value!r}")


def _number(text: str) -> int | float:
    number = float(text)
    return int(number) if number.is_integer() else number


def write_json(path: str | Path, value: Any) -> None:
    """Write a value as canonical JSON, whole or not at all."""
    text = json.dumps(canonical(value), sort_keys=True, indent=1, ensure_ascii=False)
    write_text(path, text + "\n")


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write a run's record, with the hashes of its files and a checksum of all of it."""
    # A name that begins with a point is of a file that a killed process left half-written.
    files = {f.name: file_hash(f) for f in sorted(folder.glob("[!.]*")) if f.suffix != ".json"}
    record = dict(record) | {"files": files}
    write_json(folder / "record.json", record | {"checksum": spec_hash(record)})


def write_text(path: str | Path, content: str | bytes) -> Path:
    """Write a file whole or not at all: what was there stays until all of the new is on disk.

    Parameters
    ----------
    path
        The file; its folder is made if it is not there.
    content
        Text, which is written as UTF-8, or bytes.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    StudyError
        If the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StudyError(f"cannot write {path} ({error.strerror or error})") from error
    return path


def file_hash(path: str | Path) -> str:
    """Hash a file's bytes."""
    return hashlib.blake2b(Path(path).read_bytes(), digest_size=12).hexdigest()


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


class ClaimedError(Exception):
    """Another process is computing the run."""


@dataclass(frozen=True)
class RunStore:
    """A folder of run folders, and the archive beside it, which holds runs of a report for good.

    It can be used as the path of its folder.

    Parameters
    ----------
    root
        The folder; made with the first run that is computed. The archive is ``runs.jsonl.bz2`` and
        ``predictions.jsonl.bz2`` in the folder above; see
        :func:`ctl_helpers.results.archive.write_archive`.

    Examples
    --------
    >>> import tempfile
    >>> store = RunStore(tempfile.mkdtemp())
    >>> run = store.compute({"seed": 0}, lambda folder: write_json(folder / "record.json", {}))
    >>> sorted(file.name for file in run.iterdir()), store.has(run.name)
    (['record.json', 'spec.json'], True)
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))

    def __fspath__(self) -> str:
        return str(self.root)

    def folder(self, spec: Mapping[str, Any]) -> Path:
        """Return where the run of this specification is, or will be."""
        return self.root / spec_hash(spec)

    @cached_property
    def archived(self) -> frozenset[str]:
        """Names of the runs in the archive."""
        return frozenset(row["run"] for row in read_archive(self.root.parent))

    def has(self, name: str) -> bool:
        """Say whether a run is there, whole, in a folder or in the archive.

        A folder that is damaged (a file missing, or not what the record says) is set aside with a
        warning, and the run counts as missing if it is not in the archive either.
        """
        folder = self.root / name
        if not os.path.lexists(folder):
            return name in self.archived
        if not (fault := damage(folder)):
            with contextlib.suppress(OSError):  # of a process killed before it could remove it
                folder.with_name(f"{name}.lock").unlink(missing_ok=True)
            return True
        aside = folder.with_name(f"{name}.damaged-{time.time_ns()}")
        try:
            folder.rename(aside)
        except FileNotFoundError:  # another process was faster
            return self.has(name)
        except OSError as error:
            raise StudyError(
                f"run {folder} is damaged ({fault}) and cannot be set aside ({error.strerror})"
            ) from error
        instead = "taken from the archive" if name in self.archived else "computed again"
        log.warning("run %s is damaged (%s): set aside as %s, %s", name, fault, aside, instead)
        return name in self.archived

    def tables(self, file: str, names: Iterable[str]) -> pd.DataFrame:
        """Read one CSV file of several runs, from their folders or the archive.

        As in `ctl_helpers.results.runs.load_runs`, the archive stands in for a damaged folder.

        Parameters
        ----------
        file
            ``predictions.csv`` or ``history.csv``.
        names
            Names of the runs; a warning names those that have no such file.

        Returns
        -------
        pandas.DataFrame
            The rows of all of them, with a column run.

        Raises
        ------
        StudyError
            If a file is damaged.
        """
        names = sorted(set(names))
        paths = {name: self.root / name / file for name in names}
        paths = {name: p for name, p in paths.items() if p.is_file() and not damage(p.parent)}
        frames = [read_table(path).assign(run=name) for name, path in paths.items()]
        if missing := [name for name in names if name not in paths]:
            archive = self.root.parent / file.replace(".csv", ".jsonl.bz2")
            changed = archive.stat().st_mtime_ns if archive.is_file() else 0
            archived = _archived_tables(archive, changed)
            frames += [archived[name] for name in missing if name in archived]
            missing = [name for name in missing if name not in archived]
        if missing:
            log.warning("results folder %s: no %s of %s", self.root, file, ", ".join(missing))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=_WORDS)

    def compute(
        self, spec: Mapping[str, Any], function: Callable[[Path], Any], waits: bool = True
    ) -> Path:
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
        waits
            Whether to wait for another process that is computing the run.

        Returns
        -------
        pathlib.Path
            The run's folder.

        Raises
        ------
        ClaimedError
            If another process is computing the run and this one does not wait.
        StudyError
            If the folder cannot be written: no permission, read-only, full disk.
        """
        final = self.folder(spec)
        if self.has(final.name):
            return final
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with _claimed(final, waits) as partial:
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


def read_archive(report: Path, file: str = "runs.jsonl.bz2") -> list[dict]:
    """Read the archived runs of a report: run, spec and record of each, or another file of it."""
    try:
        with bz2.open(report / file, "rt", encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
    except FileNotFoundError:
        return []
    except (OSError, EOFError, ValueError) as error:
        raise StudyError(f"report {report}: {file} is damaged ({error})") from error
    for number, row in enumerate(rows, 1):
        if not _is_archived(row, file):
            got = json.dumps(row)[:80]
            raise StudyError(f"report {report}: line {number} of {file} is of no run: {got}")
    return rows


def _is_archived(row: Any, file: str) -> bool:
    """Whether a line of an archive has the form of a run, or of a run's table."""
    if not isinstance(row, dict) or not isinstance(row.get("run"), str):
        return False
    if file != "runs.jsonl.bz2":
        columns = [column for key, column in row.items() if key != "run"]
        lengths = {len(column) if isinstance(column, list) else -1 for column in columns}
        return len(lengths) == 1 and -1 not in lengths
    spec, record = row.get("spec"), row.get("record")
    if not isinstance(spec, dict) or not isinstance(record, dict):
        return False
    is_older = spec.get("format") != FORMAT  # its form may be another
    whole = {"problem", "method"} <= spec.keys() and {"scores", "utterances"} <= record.keys()
    return is_older or whole


def read_table(path: Path) -> pd.DataFrame:
    """Read predictions or a history; an id such as "03" stays text, a speaker called NA is one."""
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(_WORDS, str), keep_default_na=False, na_values={"": []}
        )
    except (OSError, EOFError, ValueError) as error:
        raise StudyError(f"{path.parent}: {path.name} is damaged ({error})") from error
    return _typed(table)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Take all columns but those of words for numbers."""
    numbers = [column for column in table if column not in _WORDS]
    return table.assign(**{c: pd.to_numeric(table[c], errors="coerce") for c in numbers})


@lru_cache(maxsize=2)
def _archived_tables(archive: Path, changed: int) -> dict[str, pd.DataFrame]:
    """Read the tables of an archive once per process, by the names of their runs."""
    rows = read_archive(archive.parent, archive.name)
    return {row["run"]: _typed(pd.DataFrame(row)) for row in rows}


def damage(folder: Path) -> str:
    """Say what is wrong with a run's folder; empty where nothing is.

    The specification has to be that of the folder's name, the record that of its checksum. Of
    networks and embeddings, which are large, only that they are there and not empty is looked at.
    """
    if not folder.is_dir():
        return "no folder"
    try:
        record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
        spec = json.loads((folder / "spec.json").read_text(encoding="utf-8"))
        files = dict(record.get("files", {}))
        checksum = record.pop("checksum", None)
    except (OSError, ValueError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    if spec_hash(spec) != folder.name:
        return "spec.json is of another run"
    if checksum and spec_hash(record) != checksum:
        return "record.json has changed"
    for name, known in files.items():
        if not (folder / name).is_file() or not (folder / name).stat().st_size:
            return f"{name} is missing or empty"
        if name.endswith(".csv") and file_hash(folder / name) != known:
            return f"{name} has changed"
    return ""


def _whole(folder: Path) -> bool:
    return os.path.isfile(folder / "spec.json")


@contextlib.contextmanager
def _claimed(final: Path, waits: bool) -> Iterator[Path]:
    """Hold the lock of a run and yield its partial folder; a dead holder's lock is free."""
    lock = final.with_name(final.name + ".lock")
    with open(lock, "a", encoding="utf-8") as handle:
        partial = final.with_name(final.name + ".partial")
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if not waits:
                    raise ClaimedError from error
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
        shutil.rmtree(final)  # a damaged folder in its place
        partial.rename(final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    """Make sure that a file or folder has reached the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
