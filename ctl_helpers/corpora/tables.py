"""Read tables of utterances: CSV and TSV files, audiofolder metadata, audformat databases."""

import csv
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora.native import Labels
from ctl_helpers.corpora.signals import WHOLE
from ctl_helpers.corpora.words import emotion_named, fold
from ctl_helpers.errors import StudyError

ALIASES = {
    "path": ("file", "filename", "file_name", "filepath", "file_path", "wav", "audio"),
    "emotion": ("label", "class", "category"),
    "speaker": ("speaker_id", "spk", "speakerid"),
    "sex": ("gender",),
    "text": ("transcript", "transcription"),
    "start": ("start_time", "begin"),
    "end": ("end_time", "stop"),
}
"""Columns that are read, and the other names that each may have. Path and emotion are needed."""
REQUIRED = ("path", "emotion")

_NAMES = ("manifest.csv", "manifest.tsv", "metadata.csv")
_SPLITS = ("data", "dev", "eval", "test", "train", "val", "valid", "validation")
_OURS = {alias: ours for ours, aliases in ALIASES.items() for alias in (ours, *aliases)}
_NOBODY = {"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "?", "-"}
_SEXES = {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f", "w": "f"}


@dataclass(frozen=True)
class Part:
    """An utterance before its recording is read: path (as written), segment (s), labels."""

    file: str
    labels: Labels
    segment: tuple[float, float] = WHOLE


@dataclass
class Listing:
    """What a folder or a table lists: its utterances, what is left out, what is noted."""

    parts: list[Part] = field(default_factory=list)
    problems: list[dict] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)


def problem(path: str, kind: str, reason: str) -> dict:
    """Say what is wrong (or noteworthy) with a file, a folder or a row."""
    return {"path": path, "kind": kind, "reason": reason}


def columns_of(header: Iterable[str], columns: Mapping[str, str] | None = None) -> dict[str, str]:
    """Find which columns of a table are read: the name here by the name there.

    Parameters
    ----------
    header : iterable of str
        Names of the table's columns.
    columns : mapping, optional
        Names here by names there, where a name says something else.

    Raises
    ------
    StudyError
        If a column is there twice, or two columns may be the same.
    """
    header = [name.strip().lower() for name in header]
    if twice := [name for name, count in Counter(header).items() if name and count > 1]:
        raise StudyError(f"the column {twice[0]!r} is there twice")
    asked = {theirs.strip().lower(): ours for theirs, ours in (columns or {}).items()}
    if absent := [name for name in asked if name not in header]:
        raise StudyError(f"no column {absent[0]!r}; got {', '.join(header)}")
    found: dict[str, str] = {}
    for ours, aliases in ALIASES.items():
        named = [name for name in header if asked.get(name) == ours]
        named = named or [name for name in header if name == ours and name not in asked]
        named = named or [name for name in header if name in aliases and name not in asked]
        if len(named) > 1:
            raise StudyError(
                f"the columns {' and '.join(map(repr, named))} may both be the {ours}; "
                f"say which (columns {named[0]}:{ours})"
            )
        found |= {name: ours for name in named}
    return found


def _lines(table: Path) -> Iterable[list[str]]:
    """Cells of a table, separated by what its first line has most of: comma, semicolon or tab."""
    with open(table, encoding="utf-8-sig", newline="") as lines:
        first = lines.readline()
        lines.seek(0)
        yield from csv.reader(lines, delimiter=max(",;\t", key=first.count))


def is_table(path: Path) -> bool:
    """Whether a file is a table that names recordings or emotions."""
    if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
        return False
    try:
        header = next(iter(_lines(path)), [])
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    header = {name.strip().lower() for name in header}
    return bool(header & set(REQUIRED)) or {_OURS.get(name) for name in header} >= set(REQUIRED)


def tables_in(folder: Path) -> list[Path]:
    """Tables that say what a folder holds: its own, or one in each of its sub-folders (splits)."""
    own = [folder / name for name in _NAMES]
    own = [t for t in own if is_table(t) or (t.is_file() and t.stem == "manifest")]
    splits = [folder / name / "metadata.csv" for name in _SPLITS]
    return own[:1] or [table for table in splits if is_table(table)]


def is_audformat(folder: Path) -> bool:
    """Whether a folder holds an audformat database."""
    return (folder / "db.yaml").is_file()


def _csv_rows(table: Path, folder: Path, columns: Mapping | None) -> tuple[list[dict], list[dict]]:
    """Rows of a table by our names of columns, and the rows that are broken."""
    try:
        header, *lines = [cells for cells in _lines(table) if any(map(str.strip, cells))] or [[]]
        names = columns_of(header, columns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StudyError(f"{table} is not a CSV table ({error})") from error
    except StudyError as error:
        raise StudyError(f"{error} in {table}") from error
    if absent := [name for name in REQUIRED if name not in names.values()]:
        raise StudyError(
            f"no column {', '.join(map(repr, absent))} in {table}; expected path, emotion "
            f"(and speaker, sex, text, start, end), got {', '.join(header)}"
        )
    places = {names[n]: i for i, n in enumerate(h.strip().lower() for h in header) if n in names}
    rows, broken = [], []
    for cells in lines:
        row = {name: cells[i].strip() if i < len(cells) else "" for name, i in places.items()}
        row["path"] = _file(row["path"], table.parent, folder)
        if len(cells) > len(header):
            reason = f"a row of {len(cells)} cells under {len(header)} columns"
            broken.append(problem(row["path"], "extra", reason))
        else:
            rows.append(row)
    return rows, broken


@lru_cache(maxsize=4096)
def _file(path: str, above: Path, folder: Path) -> str:
    """Write a path of a table in `above` with slashes, below the corpus's folder if it can be."""
    path = path.replace("\\", "/")
    whole = os.path.normpath(os.path.join(above, path))
    inside = not os.path.isabs(path) or whole.startswith(f"{folder}{os.sep}")
    return (os.path.relpath(whole, folder) if inside else whole) if path else ""


def _audformat_rows(folder: Path, columns: Mapping | None) -> list[dict]:
    """Rows of the table with emotions of an audformat database, joined with its other tables."""
    try:
        import audformat
    except ImportError:
        files = sorted(folder.glob("db.*.csv"))
        frames = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
    else:
        frames = _frames_of(audformat.Database.load(str(folder)))
    tables = []
    for frame in frames:
        frame = frame.rename(columns=columns_of(frame.columns, columns))
        tables.append(frame[[name for name in ALIASES if name in frame]].astype(str))
    tables = [table for table in tables if "path" in table]
    labelled = [table for table in tables if "emotion" in table]
    if not labelled:
        raise StudyError(
            f"{folder}: no table of the audformat database has files and emotions; its tables "
            "that are not CSV are read with the package audformat: "
            "pip install 'ctl-helpers[audb]'"
        )
    main = max(labelled, key=len)
    for table in tables:
        new = [name for name in table if name not in main]
        if new and "start" not in table and table["path"].is_unique:
            main = main.merge(table[["path", *new]], on="path", how="left")
    rows = main.fillna("").to_dict("records")
    return [row | {"path": _file(row["path"], folder, folder)} for row in rows]


def _frames_of(database) -> list[pd.DataFrame]:
    """Tables of an audformat database; what its schemes say of a speaker becomes columns."""
    frames = []
    for name in database.tables:
        frame = database[name].get().reset_index()
        for column in list(frame):
            scheme = database[name].columns[column].scheme_id if column in database[name] else None
            labels = database.schemes[scheme].labels if scheme else None
            if isinstance(labels, dict):
                for key in {key for facts in labels.values() for key in facts} - set(frame):
                    facts = {label: facts.get(key, "") for label, facts in labels.items()}
                    frame[key] = frame[column].map(facts).astype(object)
        frames.append(frame)
    return frames


def list_table(
    place: Path,
    labels: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    votes: bool = False,
    speakers: Iterable[str] = (),
) -> Listing:
    """List the utterances of a table, of a folder with tables, or of an audformat database.

    Parameters
    ----------
    place : Path
        The table or folder.
    labels, columns, votes
        As for :func:`~ctl_helpers.corpora.load_manifest`.
    speakers : iterable of str
        Speakers that are known of the corpus, as they are spelled.
    """
    listing = Listing()
    folder = place if place.is_dir() else place.parent
    if place.is_dir() and is_audformat(place):
        rows = _audformat_rows(place, columns)
    else:
        rows = []
        for table in tables_in(place) if place.is_dir() else [place]:
            more, broken = _csv_rows(table, folder, columns)
            rows += more
            listing.problems += broken
    spelled = _speakers({row.get("speaker", "") for row in rows}, speakers, listing)
    emotions = {word: emotion_named(word, labels) for word in {row["emotion"] for row in rows}}
    takes: dict[tuple, list[Labels]] = defaultdict(list)
    unused: Counter[tuple[str, str, str]] = Counter()
    for row in rows:
        path, emotion = row["path"], emotions[row["emotion"]]
        segment = _segment(row.get("start", ""), row.get("end", ""))
        if not path or emotion is None:
            what = f"unknown emotion {row['emotion']!r}" if path else "no path in its row"
            unused[path, "extra", what] += 1
        elif segment is None:
            unused[path, "segment", f"no segment from {row['start']!r} to {row['end']!r}"] += 1
        else:
            sex = _SEXES.get(row.get("sex", "").casefold(), "")
            speaker = spelled[row.get("speaker", "")]
            takes[path, segment].append(Labels(emotion, speaker, sex, row.get("text", "")))
    listing.problems += [
        problem(path, kind, what + (f" ({count} rows)" if count > 1 else ""))
        for (path, kind, what), count in unused.items()
    ]
    for (path, segment), said in takes.items():
        _add_once(path, segment, said, votes, listing)
    return listing


def _add_once(
    path: str, segment: tuple | str, said: list[Labels], votes: bool, listing: Listing
) -> None:
    """Add an utterance once, unless its rows contradict each other."""
    (emotion, most), *others = Counter(labels.emotion for labels in said).most_common()
    listed = ", ".join(f"{word} ({count})" for word, count in [(emotion, most), *others])
    speakers = sorted({labels.speaker for labels in said} - {""})
    if len(speakers) > 1:
        reason = f"its {len(said)} rows name the speakers {', '.join(speakers)}"
        listing.problems.append(problem(path, "contradiction", reason))
        return
    if others and (not votes or others[0][1] == most):
        listing.problems.append(problem(path, "contradiction", f"its rows say {listed}"))
        return
    if others:
        listing.notes.append(problem(path, "votes", f"{emotion} is what most of {listed} say"))
    elif len(said) > 1 and not votes:
        reason = f"named in {len(said)} rows, of which one is kept"
        listing.problems.append(problem(path, "duplicate", reason))
    labels = next(labels for labels in said if labels.emotion == emotion)
    labels = replace(labels, speaker=speakers[0] if speakers else "")
    listing.parts.append(Part(path, labels, segment or WHOLE))


def _segment(start: str, end: str) -> tuple[float, float] | tuple[()] | None:
    """Start and end in seconds, () for a whole file, None for what is no segment.

    Both may be seconds or times such as ``0 days 00:00:01.2``; no end is the end of the file.
    """
    try:
        first, last = (
            math.nan if word.casefold() in _NOBODY else _seconds(word) for word in (start, end)
        )
    except ValueError:
        return None
    if math.isnan(last):
        return (first, last) if first > 0 else ()
    first = 0.0 if math.isnan(first) else first
    return (first, last) if 0 <= first < last else None


def _seconds(word: str) -> float:
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return pd.Timedelta(word).total_seconds()


def _speakers(words: Iterable[str], known: Iterable[str], listing: Listing) -> dict[str, str]:
    """Spell each speaker one way: `` 03 ``, ``3`` and ``3.0`` are the same as ``03``."""
    spellings = defaultdict(set)
    for word in set(words):
        plain = re.sub(r"^([0-9]+)\.0*$", r"\1", word.strip())
        number = plain.lstrip("0") or "0" if plain.isdecimal() else fold(plain)
        spellings[number].add((plain, word))
    by_number = {
        name.lstrip("0") or "0" if name.isdecimal() else fold(name): name for name in known
    }
    spelled = {}
    for number, pairs in spellings.items():
        name = by_number.get(number) or max(
            (plain for plain, _ in pairs), key=lambda p: (len(p), p)
        )
        name = "" if number in _NOBODY else name
        spelled |= {word: name for _, word in pairs}
        if name and len(pairs) > 1:
            others = ", ".join(repr(word) for word in sorted(word for _, word in pairs))
            listing.notes.append(problem("", "speaker", f"{others} are one speaker, {name}"))
    return spelled
