"""The run store: a folder per run, there whole or not at all.

A *run* is one method on one problem with one seed. It is a pure function of its specification, and
its folder is named after the specification's hash.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ctl_helpers.errors import StudyError

try:
    import fcntl
except ImportError:  # Windows: two processes may then compute the same run, and one is discarded
    fcntl = None

log = logging.getLogger("ctl_helpers")


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
