"""List the utterances of a corpus that can be used, and why others can not."""

import csv
import hashlib
import logging
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import pandas as pd
import soundfile

from ctl_helpers.corpora.catalogue import CATALOGUE
from ctl_helpers.corpora.find import READ, parse_generic, place_of, recordings
from ctl_helpers.corpora.native import Labels, emotion_named
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import parallel_map

COLUMNS = ("path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate")
REQUIRED = ("path", "emotion", "speaker")
"""Columns that a CSV manifest must have; sex and text are read where they are there."""
SHORTEST = 0.1
"""Seconds below which a recording is no utterance."""

_KNOWN = (*READ, ".mp3", ".ogg", ".aif", ".aiff", ".m4a", ".mp4", ".avi", ".mov", ".wma")
_SILENCE = 1e-4
_CLIPPED = 0.9998
_INLINE = 5000
_log = logging.getLogger("ctl_helpers")


@dataclass(frozen=True)
class Signal:
    """What reading a recording tells: `kind` and `reason` say why it can not be used, if so."""

    duration: float = 0.0
    sampling_rate: int = 0
    channels: int = 0
    clipped: bool = False
    digest: str = ""
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """All that was found of a corpus: usable utterances, and the files with a problem."""

    corpus: str
    folder: Path
    utterances: pd.DataFrame
    problems: list[dict]


def _read(path: str | Path) -> tuple[np.ndarray, int]:
    """Read float32 samples (frames, channels) and the rate in Hz; one kind of error."""
    try:
        return soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError, ValueError) as error:
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ").strip()
        raise StudyError(f"{path}: not a readable recording ({reason})") from error


def read_audio(path: str | Path, sampling_rate: int) -> np.ndarray:
    """Read a recording as one channel at the rate asked for.

    Parameters
    ----------
    path : str or Path
        A wav or flac file. Several channels are averaged.
    sampling_rate : int
        Rate to resample to, in Hz.

    Returns
    -------
    ndarray of float32, shape (samples,)
        The signal, full scale at 1.

    Raises
    ------
    StudyError
        If the file can not be read, is empty, or holds values that are not finite.
    """
    import librosa

    samples, rate = _read(path)
    if not len(samples):
        raise StudyError(f"{path}: the recording is empty")
    signal = samples.mean(axis=1)
    if not np.isfinite(signal).all():
        raise StudyError(f"{path}: the recording holds values that are not finite (NaN)")
    if rate == sampling_rate:
        return signal
    return librosa.resample(signal, orig_sr=rate, target_sr=sampling_rate, res_type="soxr_hq")


def inspect(path: str | Path) -> Signal:
    """Read a recording once and say what it is, and whether it can be used."""
    if not os.path.isfile(path):
        return Signal(kind="missing", reason="there is no such file")
    if os.path.getsize(path) == 0:
        return Signal(kind="empty", reason="the file has no bytes")
    try:
        samples, rate = _read(path)
    except StudyError as error:
        return Signal(kind="unreadable", reason=str(error).removeprefix(f"{path}: "))
    duration = len(samples) / rate
    kind, reason = _fault(samples, duration)
    hit = (np.abs(samples) >= _CLIPPED).any(axis=1)
    return Signal(
        duration=duration,
        sampling_rate=int(rate),
        channels=samples.shape[1],
        clipped=bool((hit[:-2] & hit[1:-1] & hit[2:]).any()),
        digest=hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest(),
        kind=kind,
        reason=reason,
    )


def _fault(samples: np.ndarray, duration: float) -> tuple[str, str]:
    if not len(samples):
        return "empty", "it holds no samples"
    if not np.isfinite(samples).all():
        return "nan", "it holds values that are not finite"
    signal = samples.mean(axis=1)
    if np.abs(signal - signal.mean()).max() < _SILENCE:
        return "silent", "no sample rises above -80 dB"
    if duration < SHORTEST:
        return "short", f"{duration:.3f} s, shorter than {SHORTEST} s"
    return "", ""


def _native_files(name: str, folder: Path) -> tuple[list[tuple[str, Labels]], list[dict]]:
    """List the recordings of a folder with their labels, and the files that are not part."""
    entry = CATALOGUE.get(name)
    parts, problems = [], []
    for path in recordings(folder, _KNOWN if entry else READ):
        if (shown := _printable(path)) != path.as_posix():
            problems.append(_problem(shown, "unreadable", "its name is not UTF-8"))
            continue
        labels = entry.parse(path) if entry else parse_generic(path) or _stranger(path)
        if isinstance(labels, Labels) and path.suffix.lower() not in READ:
            labels = f"{path.suffix} is not read, only wav and flac"
        if isinstance(labels, Labels):
            parts.append((path.as_posix(), labels))
        else:
            problems.append(_problem(path.as_posix(), "extra", labels))
    return parts, problems


def _printable(path: PurePath) -> str:
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _stranger(path: PurePath) -> str:
    if len(path.parts) < 2:
        return "not in a folder named after an emotion"
    return f"unknown emotion {path.parts[0]!r}"


def _problem(path: str, kind: str, reason: str, left_out: bool = True) -> dict:
    return {"path": path, "kind": kind, "reason": reason, "left_out": left_out}


def _table_files(name: str, table: Path) -> tuple[list[tuple[str, Labels]], list[dict]]:
    """List the recordings of a CSV manifest with their labels, and the rows that are no use."""
    try:
        with open(table, encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            reader.fieldnames = [word.strip().lower() for word in reader.fieldnames or ()]
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"corpus {name!r}: {table} is not a CSV table ({error})") from error
    if absent := [column for column in REQUIRED if column not in reader.fieldnames]:
        raise StudyError(
            f"corpus {name!r}: no column {', '.join(map(repr, absent))} in {table}; "
            f"expected {', '.join(REQUIRED)} (and sex, text), got {', '.join(reader.fieldnames)}"
        )
    parts, problems = [], []
    for row in rows:
        said = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        path = PurePosixPath(said["path"].replace("\\", "/")).as_posix()
        emotion = emotion_named(said["emotion"])
        if emotion is None:
            problems.append(_problem(path, "extra", f"unknown emotion {said['emotion']!r}"))
            continue
        sex = said.get("sex", "").casefold()
        sex = {"male": "m", "female": "f"}.get(sex, sex)
        labels = Labels(emotion, said["speaker"], sex, said.get("text", ""), utterance=path)
        parts.append((path, labels))
    return parts, problems


def survey(root: str | Path, name: str, jobs: int | None = None) -> Survey:
    """Read every recording of a corpus once, and sort out what can be used.

    Parameters
    ----------
    root, name
        As for :func:`load_manifest`.
    jobs : int or None
        Processes that read; by default this one, and all cores for thousands of recordings.

    Returns
    -------
    Survey
        Its utterances have the columns of a manifest and ``file`` (path below the folder),
        ``channels``, ``clipped``, ``digest``, ``misplaced``, ``utterance``.
    """
    name, place = place_of(root, name)
    folder, files = (place.parent, _table_files) if place.is_file() else (place, _native_files)
    parts, problems = files(name, place)
    if not parts and not problems:
        entry = CATALOGUE.get(name)
        example = entry.example if entry else "<emotion>/*.wav"
        raise StudyError(
            f"corpus {name!r}: no wav files under {folder}; expected {folder}/{example}"
        )
    paths = [str(folder / file) for file, _ in parts]
    jobs = 1 if jobs is None and len(paths) < _INLINE else jobs
    signals = parallel_map(inspect, paths, jobs=jobs, description=f"reading {name}", unit="file")
    records = []
    for (file, labels), path, signal in zip(parts, paths, signals, strict=True):
        if signal.kind:
            problems.append(_problem(file, signal.kind, signal.reason))
        else:
            records.append(
                vars(labels) | vars(signal) | {"path": path, "file": file, "corpus": name}
            )
    kept, copies = _once(records)
    problems = sorted(problems + copies, key=lambda problem: problem["path"])
    if not kept:
        raise StudyError(
            f"corpus {name!r}: none of {len(problems)} files under {folder} can be used, "
            f"e.g. {problems[0]['path']}: {problems[0]['reason']}"
        )
    columns = [*COLUMNS, "file", "channels", "clipped", "digest", "misplaced", "utterance"]
    utterances = pd.DataFrame(kept, columns=columns).sort_values("file", ignore_index=True)
    return Survey(name, folder, utterances, problems)


def _once(records: list[dict]) -> tuple[list[dict], list[dict]]:
    """Keep one copy of each utterance: the one in its place, and nearest to the folder."""
    kept, copies = {}, []

    def rank(record: dict) -> tuple:
        return bool(record["misplaced"]), record["file"].count("/"), record["file"]

    for record in sorted(records, key=rank):
        first = kept.setdefault(record["utterance"], record)
        if first is record:
            continue
        reason = f"a second copy of {first['file']}"
        problem = _problem(record["file"], "duplicate", reason)
        if record["misplaced"]:
            problem |= {"kind": "misplaced", "reason": f"{record['misplaced']}; {reason}"}
        copies.append(problem)
    return list(kept.values()), copies


def load_manifest(root: str | Path, name: str, jobs: int | None = None) -> pd.DataFrame:
    """List the usable utterances of a corpus, one row each.

    Every recording is read once. What can not be used is left out and named: in the manifest's
    ``attrs["problems"]`` (dicts of path, kind, reason) and in one line of warning.

    Parameters
    ----------
    root : str or Path
        The folder that holds the corpora (see :func:`find_corpora`).
    name : str
        Name of the corpus: of the catalogue, of a folder or of a CSV manifest.
    jobs : int or None
        Processes that read; by default this one, and all cores for thousands of recordings.

    Returns
    -------
    DataFrame
        Columns path (absolute), corpus, emotion, speaker, sex, text, duration (s) and
        sampling_rate (Hz), sorted by the path below the corpus's folder, which is
        ``attrs["folder"]``. Labels that are not known are "".

    Raises
    ------
    StudyError
        If the folder, the corpus or a column is not there, or nothing in it can be used.
    """
    result = survey(root, name, jobs)
    manifest = result.utterances[list(COLUMNS)].copy()
    problems = [{k: p[k] for k in ("path", "kind", "reason")} for p in result.problems]
    manifest.attrs |= {"folder": str(result.folder), "problems": problems}
    if problems:
        kinds = Counter(problem["kind"] for problem in problems)
        first = problems[0]
        _log.warning(
            "%s: %d of %d files under %s left out (%s), e.g. %s: %s",
            result.corpus,
            len(problems),
            len(problems) + len(manifest),
            result.folder,
            ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())),
            first["path"],
            first["reason"],
        )
    return manifest
