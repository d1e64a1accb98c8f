"""Read tables of utterances: CSV and TSV files, audiofolder metadata, audformat databases."""

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora.files import leads_nowhere
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.separated import first_rows, read_cells
from ctl_helpers.errors import StudyError

_WORDS = {
    "path": "file filename file_name filepath file_path wav audio audio_filepath",
    "emotion": "label class category",
    "speaker": "speaker_id spk speakerid",
    "sex": "gender",
    "text": "transcript transcription",
}
ALIASES = {ours: tuple(words.split()) for ours, words in _WORDS.items()}
"""Columns that are read, and the other names that each may have. Path and emotion are needed."""
TIMES = {"start": "start begin onset offset", "end": "end stop", "duration": "duration dur"}
"""Columns of times by their names, which ``_time`` and a unit (``_s``, ``_ms``) may follow."""
for _ours, _words in TIMES.items():
    for _ms, _units in (("", ("", "_s", "_sec", "_seconds")), ("_ms", ("_ms", "_msec"))):
        ALIASES[_ours + _ms] = tuple(map("".join, product(_words.split(), ("", "_time"), _units)))
REQUIRED = ("path", "emotion")

SPLITS = (
    *("data", "dev", "development", "eval", "evaluation", "test", "testing"),
    *("train", "training", "val", "valid", "validation"),
)
"""Names of the parts of a corpus."""
_DATABASE = "db.yaml"
_LEFT_OUT = " (left out)"
_WHOLE = (0.0, -1.0)  # start and end of a whole file
_DIVISIONS = ("split", "split_set", "partition", "subset", "fold")
_LIKE_TIMES = ("start", "begin", "onset", "offset", "end", "stop")


@dataclass(frozen=True)
class Reading:
    """How tables and folders outside the catalogue are read, as for `load_manifest`."""

    labels: Mapping[str, str] | None = None
    columns: Mapping[str, str] | None = None
    votes: bool = False

    @cached_property
    def named(self) -> dict[str, str]:
        """Names of columns here by their names in tables."""
        columns = self.columns or {}
        return dict(zip(_plain(columns), columns.values(), strict=True))


def _means(name: str, ours: str) -> bool:
    """Whether a column's name is one of ours, or another word for it (StartTime for start_time)."""
    squeezed = name.replace("_", "")
    return any(squeezed == known.replace("_", "") for known in (ours, *ALIASES[ours]))


def is_table(path: Path, reading: Reading) -> bool:
    """Whether a file is a table that names recordings or emotions."""
    if path.suffix.lower() not in (".csv", ".tsv") or not os.path.isfile(path):
        return False
    try:
        first, row = first_rows(path)
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    if _is_predicted(first, row):
        return False
    header = {reading.named.get(name, name) for name in _plain(first)}
    found = {ours for ours in REQUIRED if any(_means(name, ours) for name in header)}
    if "path" not in found and {"corpus", "utterance"} <= header:  # what splits or a run writes
        return False
    return bool(found & header) or len(found) == len(REQUIRED)


def _is_predicted(header: list[str], row: list[str]) -> bool:
    """Whether a table is what ``predict --csv`` writes, which says nothing of labels."""
    first = dict(zip(header, row, strict=False))
    return header[:1] == ["file"] and "emotion" in header[1:-1] and first.get("emotion") in header


def own_tables(folder: Path, reading: Reading) -> list[Path]:
    """Tables in a folder that say what it holds: the first is read."""
    names = ("manifest.csv", "manifest.tsv", "metadata.csv")
    try:
        files = {file.name.casefold(): file for file in sorted(folder.iterdir(), reverse=True)}
    except OSError:
        return []
    own = [files[name] for name in names if name in files]
    manifests = [table for table in own if table.stem.casefold() == "manifest"]
    # A link that leads nowhere is one, too: that it cannot be read has to be said.
    manifests = [table for table in manifests if os.path.isfile(table) or leads_nowhere(table)]
    return [table for table in own if table in manifests or is_table(table, reading)]


def part_tables(folder: Path, reading: Reading) -> list[Path]:
    """``metadata.csv`` of all sub-folders, if one that has it is called as a part is (train)."""

    def is_part(path: Path) -> bool:
        return path.name.casefold() in SPLITS

    try:
        folders = sorted(p for p in folder.iterdir() if p.name[0] != "." and os.path.isdir(p))
    except OSError:
        return []
    if not any(map(is_part, folders)):  # without a look into thousands of folders
        return []
    own = [table for one in folders for table in own_tables(one, reading)]
    tables = [table for table in own if table.stem.casefold() == "metadata"]
    return tables if any(is_part(table.parent) for table in tables) else []


def tables_in(folder: Path, reading: Reading) -> list[Path]:
    """Tables that say what a folder holds: its own, those of its parts, or a database's."""
    database = [folder / _DATABASE] if os.path.isfile(folder / _DATABASE) else []
    return own_tables(folder, reading)[:1] or part_tables(folder, reading) or database


def _plain(header: Iterable) -> list[str]:
    return [re.sub(r"[\s-]+", "_", str(name).strip().lower()) for name in header]


def _named(header: Iterable, reading: Reading, table: Path) -> list[str]:
    """Rename the columns that are read to the names used here."""
    names = [name or f"column {at}" for at, name in enumerate(_plain(header), 1)]
    named = [reading.named.get(name, name) for name in names]
    names = [ours or f"{name}{_LEFT_OUT}" for ours, name in zip(named, names, strict=True)]
    names = _with_offsets(names)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise StudyError(f"the column {twice[0]!r} is there twice in {table}")
    for ours in ALIASES:
        others = [name for name in names if _means(name, ours) and ours not in names]
        if len(others) > 1:
            listed = " and ".join(map(repr, others))
            raise StudyError(f"columns {listed} in {table} may both be the {ours}: say which is")
        names = [ours if name in others else name for name in names]
    return names


def _with_offsets(names: list[str]) -> list[str]:
    """Rename offsets, in any unit, to ends where there are onsets and no ends."""
    starts = [name for name in names if _means(name, "start") or _means(name, "start_ms")]
    ends = [name for name in names if _means(name, "end") or _means(name, "end_ms")]
    if ends or not any(name.startswith("onset") for name in starts):
        return names
    return [re.sub("^offset", "end", name) if name in starts else name for name in names]


def _table(table: Path, reading: Reading, listing: Listing) -> pd.DataFrame:
    """Read a CSV or TSV table; its column "too many" has the cells beyond those of the header."""
    try:
        header, *rows = read_cells(table, listing) or [[]]
    except UnicodeDecodeError as error:
        raise StudyError(f"{table} is not a CSV table in UTF-8: save it as one") from error
    except csv.Error as error:
        hint = "is a quote not closed? If it is one text, write it on one line"
        raise StudyError(f"{table} is not a CSV table ({error}): {hint}") from error
    except OSError as error:
        raise StudyError(f"{table} is not a CSV table ({error})") from error
    names = _named(header, reading, table)
    for absent in [name for name in reading.named if name not in _plain(header)]:
        if not set(REQUIRED) <= set(names):
            raise StudyError(f"no column {absent!r} in {table}; got {', '.join(names)}")
        listing.note(table.name, "column", f"there is no column {absent!r}")  # another's, perhaps
    if absent := [name for name in REQUIRED if name not in names]:
        raise StudyError(
            f"no column {', '.join(map(repr, absent))} in {table}; expected path, emotion "
            f"(and speaker, sex, text, start, end), got {', '.join(names)}; --columns "
            "COLUMN:MEANING says what a column of another name means"
        )
    names.append("too many")
    rows = [[*row[: len(names) - 1], "".join(row[len(names) - 1 :])] for row in rows]
    return pd.DataFrame([dict(zip(names, row, strict=False)) for row in rows])


def _audformat(database: Path, reading: Reading, listing: Listing) -> pd.DataFrame:
    """Read the tables with emotions of an audformat database, joined with its other tables."""
    try:
        found, hint = _loaded(database)
    except Exception as error:  # whatever audformat, YAML or pandas say of a broken file
        reason = " ".join(str(error).split())[:200]
        raise StudyError(f"{database}: expected an audformat database, got: {reason}") from error
    for frame in found.values():
        frame.columns = _named(frame.columns, reading, database)
    frames = {name: frame.astype(object) for name, frame in found.items() if "path" in frame}
    frames = {name: frame.mask(frame == "") for name, frame in frames.items()}
    labelled = [name for name in frames if "emotion" in frames[name]]
    if not labelled:
        columns = "; ".join(f"{name}: {', '.join(frame)}" for name, frame in found.items())
        raise StudyError(
            f"no table of {database} has files and emotions (--columns COLUMN:emotion), "
            f"got {columns or 'none'}{hint}"
        )
    largest, *others = sorted(labelled, key=lambda name: -len(frames[name]))
    main = frames[largest]
    for name in others:
        if not set(_spans(main)).isdisjoint(_spans(frames[name])):
            reason = f"its table {name} has emotions of files of another table, and is not read"
            listing.note(database.name, "column", reason)
        else:  # a part: train, dev or test
            main = pd.concat([main, frames[name]], ignore_index=True)
    spans = _spans(main)
    ordered = sorted(frames, key=lambda name: "start" not in frames[name])  # segments before files
    for name, column in product(ordered, ("speaker", "sex", "text")):
        if not (said := _said(frames[name], column)):
            continue
        values = [said.get(span, said.get((span[0], *_WHOLE))) for span in spans]
        old = main.get(column, pd.Series(index=main.index, dtype=object))
        main[column] = old.where(old.notna(), values)
        if column == "speaker" and not any(value is not None for value in values):
            reason = f"its table {name} names speakers of other files or segments, and is not used"
            listing.note(database.name, "column", reason)
    return main


def _spans(frame: pd.DataFrame) -> list[tuple]:
    """File, start and end in seconds of each row of an audformat table."""
    times = []
    for name, whole in zip(("start", "end"), _WHOLE, strict=True):
        words = frame.get(name, pd.Series("", frame.index)).astype(str)
        seconds = pd.to_numeric(words, errors="coerce")
        seconds = seconds.fillna(pd.to_timedelta(words, errors="coerce").dt.total_seconds())
        times.append(seconds.fillna(whole))
    return list(zip(frame["path"], *times, strict=True))


def _said(frame: pd.DataFrame, column: str) -> dict[tuple, object]:
    """Collect what a column says of each segment or whole file, unless it says several things."""
    if column not in frame:
        return {}
    said, known = defaultdict(set), frame[frame[column].notna()]
    for span, value in zip(_spans(known), known[column], strict=True):
        said[span].add(value)
    return {span: values.pop() for span, values in said.items() if len(values) == 1}


def _loaded(database: Path) -> tuple[dict[str, pd.DataFrame], str]:
    """Tables of an audformat database, and what to install if there should be more of them."""
    try:
        import audformat
    except ImportError:
        files = sorted(database.parent.glob("db.*.csv"))
        found = {file.stem: pd.read_csv(file, dtype=str, keep_default_na=False) for file in files}
        hint = "tables that are not CSV need the package audformat: pip install 'ctl-helpers[audb]'"
        return found, f"; {hint}"
    return _frames(audformat.Database.load(str(database.parent))), ""


def _frames(database) -> dict[str, pd.DataFrame]:
    """Tables of an audformat database; what its schemes say of a speaker becomes columns."""
    frames = {}
    for name, table in ((name, database[name]) for name in database.tables):
        frame = table.get().reset_index()
        for said, column in table.columns.items():
            scheme = database.schemes.get(column.scheme_id) if column.scheme_id else None
            labels = scheme.labels if scheme else None
            if isinstance(labels, str):  # a table of its own, by its name
                facts = database[labels].get().astype(object)
            else:
                labels = labels if isinstance(labels, dict) else {}
                facts = pd.DataFrame.from_dict(labels, orient="index", dtype=object)
            for fact in facts.columns.difference(frame.columns):
                frame[fact] = frame[said].astype(object).map(facts[fact])
        frames[name] = frame
    return frames


@lru_cache(maxsize=4096)
def _file(path: str, above: Path, folder: Path) -> str:
    """Write a path of a table in `above` with slashes, below the corpus's folder if it can be."""
    path = path.strip().replace("\\", "/")
    whole = os.path.normpath(os.path.join(above, path))
    inside = not os.path.isabs(path) or whole.startswith(f"{folder}{os.sep}")
    return (os.path.relpath(whole, folder) if inside else whole) if path else ""


def _note_unread(frame: pd.DataFrame, name: str, listing: Listing) -> None:
    """Note columns that look like times or divisions under names that are not known."""
    for column in frame.columns.difference(list(ALIASES)):
        if column.endswith(_LEFT_OUT):
            continue
        if column.startswith(_LIKE_TIMES) or column in ("from", "to", "xmin", "xmax", "length"):
            meaning = f"if it is a time, say --columns '{column}:start' (end, start_ms ...)"
            listing.note(name, "column", f"{column!r} is not read; {meaning}")
        if column in _DIVISIONS:
            meaning = "a division of your own is --protocols partition:FOLDER"
            listing.note(name, "column", f"{column!r} is not read; {meaning}")


def _check_ends(frame: pd.DataFrame, name: str) -> None:
    """Refuse rows that start somewhere in one file and end nowhere."""
    known = {column.removesuffix("_ms") for column in frame.columns}
    endless = "start" in known and known.isdisjoint({"end", "duration"})
    if endless and frame["path"].duplicated().any():
        raise StudyError(
            f"{name}: several rows name one file and have a start; expected an end or a "
            f"duration, got the columns {', '.join(frame.columns)}; say --columns NAME:end"
        )


def rows_in(place: Path, reading: Reading, listing: Listing) -> list[dict[str, str]]:
    """Rows of a table, of the tables in a folder, or of an audformat database."""
    folder = place if os.path.isdir(place) else place.parent
    tables, rows = tables_in(place, reading) if os.path.isdir(place) else [place], []
    for table in tables:
        frame = (_audformat if table.name == _DATABASE else _table)(table, reading, listing)
        _note_unread(frame, table.name, listing)
        _check_ends(frame, table.name)
        frame = frame.reindex(columns=[*ALIASES, "too many"]).astype(object).fillna("")
        for row in frame.to_dict("records"):
            row = {name: str(value).replace("\r", " ").strip() for name, value in row.items()}
            rows.append(row | {"path": _file(row["path"], table.parent, folder)})
    return rows


def places_named(table: Path, reading: Reading) -> set[Path]:
    """Files and folders beside a table that its rows name; none if it cannot be read."""
    try:
        named = {row["path"].split("/")[0] for row in rows_in(table, reading, Listing())}
    except StudyError:
        return set()
    return {table.parent / name for name in named - {"", "."}}  # of rows without a path, or outside
