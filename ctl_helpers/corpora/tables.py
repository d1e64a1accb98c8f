"""Read tables of utterances: CSV and TSV files, audiofolder metadata, audformat databases."""

import codecs
import csv
import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import islice, product
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora.catalogue import Labels
from ctl_helpers.corpora.words import emotion_named, fold, reason_against, uncased
from ctl_helpers.errors import StudyError

ALIASES = {
    "path": (
        *("file", "filename", "file_name", "filepath", "file_path"),
        *("wav", "audio", "audio_filepath"),
    ),
    "emotion": ("label", "class", "category"),
    "speaker": ("speaker_id", "spk", "speakerid"),
    "sex": ("gender",),
    "text": ("transcript", "transcription"),
}
"""Columns that are read, and the other names that each may have. Path and emotion are needed."""
TIMES = {"start": "start begin onset offset", "end": "end stop", "duration": "duration dur"}
"""Columns of times by their names, which ``_time`` and a unit (``_s``, ``_ms``) may follow."""
for _ours, _words in TIMES.items():
    for _ms, _units in (("", ("", "_s", "_sec", "_seconds")), ("_ms", ("_ms", "_msec"))):
        ALIASES[_ours + _ms] = tuple(map("".join, product(_words.split(), ("", "_time"), _units)))
REQUIRED = ("path", "emotion")

_SPLITS = ("data", "dev", "eval", "test", "train", "val", "valid", "validation")
_DATABASE = "db.yaml"
_TIMES = [ours + ms for ours in TIMES for ms in ("", "_ms")]
_DIVISIONS = ("split", "split_set", "partition", "subset", "fold")
_LIKE_TIMES = ("start", "begin", "onset", "offset", "end", "stop")
_NOBODY = {"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "?", "-"}
_SEXES = {"m": "m", "male": "m", "man": "m", "f": "f", "female": "f", "woman": "f", "w": "f"}


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


@dataclass
class Listing:
    """What a folder or a table lists: its utterances, what is left out, what is noted."""

    parts: list[Labels] = field(default_factory=list)
    problems: list[dict] = field(default_factory=list)
    notes: list[dict] = field(default_factory=list)

    def leave_out(self, path: str, kind: str, reason: str) -> None:
        """Say in one line why a file, a folder or a row is left out."""
        self.problems.append(_line(path, kind, reason))

    def note(self, path: str, kind: str, reason: str) -> None:
        """Say in one line what is noteworthy about something that is kept."""
        self.notes.append(_line(path, kind, reason))

    def note_unused(self, labels: Mapping[str, str] | None, words: Iterable[str]) -> None:
        """Note the words of a label map that no utterance has."""
        there = {fold(one) for word in words for one in (word, emotion_named(word) or "")}
        for word in labels or ():
            if fold(word) not in there:
                self.note("", "label", f"the label map has {word!r}, which no utterance has")


def _line(path: str, kind: str, reason: str) -> dict[str, str]:
    path, reason = (re.sub(r"[\x00-\x1f\x7f]", "?", words) for words in (path, reason))
    return {"path": path, "kind": kind, "reason": reason}


def tally(kinds: Iterable[str]) -> str:
    """Count kinds of problems, as ``2 extra, 1 silent``."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))


def _lines(table: Path, errors: str = "strict") -> Iterable[list[str]]:
    """Cells of a table, separated by what its first line has most of: comma, ``;``, tab or bar."""
    with open(table, "rb") as start:
        head = start.read(2)
    encoding = "utf-16" if head in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    if b"\0" in head:  # UTF-16 that does not say so
        encoding = "utf-16-be" if head.startswith(b"\0") else "utf-16-le"
    with open(table, encoding=encoding, errors=errors, newline="") as lines:
        first = lines.readline()
        if said := re.match("sep=(.)", first, re.IGNORECASE):  # Excel's line before the header
            delimiter = said[1]
        else:
            delimiter = max(",;\t|", key=first.count)
            lines.seek(0)
        # Strict: a quote that is not closed would swallow the rows behind it.
        yield from csv.reader(lines, delimiter=delimiter, strict=True)


def _means(name: str, ours: str) -> bool:
    """Whether a column's name is one of ours, or another word for it (StartTime for start_time)."""
    squeezed = name.replace("_", "")
    return any(squeezed == known.replace("_", "") for known in (ours, *ALIASES[ours]))


def is_table(path: Path, reading: Reading) -> bool:
    """Whether a file is a table that names recordings or emotions."""
    if path.suffix.lower() not in (".csv", ".tsv") or not path.is_file():
        return False
    try:
        first, *rows = [*islice(_lines(path, "replace"), 2)] or [[]]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    if _is_predicted(first, *rows):
        return False
    header = {reading.named.get(name, name) for name in _plain(first)}
    found = {ours for ours in REQUIRED if any(_means(name, ours) for name in header)}
    return bool(found & header) or len(found) == len(REQUIRED)


def _is_predicted(header: list[str], row: Sequence[str] = ()) -> bool:
    """Whether a table is what ``predict --csv`` writes, which says nothing of labels."""
    first = dict(zip(header, row, strict=False))
    return header[:1] == ["file"] and "emotion" in header[1:-1] and first.get("emotion") in header


def own_table(folder: Path, reading: Reading) -> list[Path]:
    """Table in a folder that says what it holds: one or none."""
    names = ("manifest.csv", "manifest.tsv", "metadata.csv")
    try:
        files = {file.name.casefold(): file for file in sorted(folder.iterdir(), reverse=True)}
    except OSError:
        return []
    own = [files[name] for name in names if name in files]
    named = [t for t in own if t.stem.casefold() == "manifest" and t.is_file()]
    return [t for t in own if t in named or is_table(t, reading)][:1]


def tables_in(folder: Path, reading: Reading) -> list[Path]:
    """Tables that say what a folder holds: its own, those of its splits, or a database's."""
    splits = [folder / split / "metadata.csv" for split in _SPLITS]
    splits = [table for table in splits if is_table(table, reading)]
    database = [folder / _DATABASE] if (folder / _DATABASE).is_file() else []
    return own_table(folder, reading) or splits or database


def _plain(header: Iterable) -> list[str]:
    return [re.sub(r"[\s-]+", "_", str(name).strip().lower()) for name in header]


def _named(header: Iterable, reading: Reading, table: Path) -> list[str]:
    """Rename the columns that are read to the names used here."""
    names = [name or f"column {at}" for at, name in enumerate(_plain(header), 1)]
    if absent := [name for name in reading.named if name not in names]:
        raise StudyError(f"no column {absent[0]!r} in {table}; got {', '.join(names)}")
    named = [reading.named.get(name, name) for name in names]
    names = [ours or f"{name} (left out)" for ours, name in zip(named, names, strict=True)]
    if "onset" in names and "end" not in names:  # of which the offset is the end
        names = ["end" if name == "offset" else name for name in names]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise StudyError(f"the column {twice[0]!r} is there twice in {table}")
    for ours in ALIASES:
        others = [name for name in names if _means(name, ours) and ours not in names]
        if len(others) > 1:
            listed = " and ".join(map(repr, others))
            raise StudyError(f"columns {listed} in {table} may both be the {ours}: say which is")
        names = [ours if name in others else name for name in names]
    return names


def _table(table: Path, reading: Reading) -> pd.DataFrame:
    """Read a CSV or TSV table; its column "too many" has the cells beyond those of the header."""
    try:
        header, *rows = [cells for cells in _lines(table) if any(map(str.strip, cells))] or [[]]
    except UnicodeDecodeError as error:
        raise StudyError(f"{table} is not a CSV table in UTF-8: save it as one") from error
    except (OSError, csv.Error) as error:
        raise StudyError(f"{table} is not a CSV table ({error})") from error
    names = _named(header, reading, table)
    if absent := [name for name in REQUIRED if name not in names]:
        raise StudyError(
            f"no column {', '.join(map(repr, absent))} in {table}; expected path, emotion "
            f"(and speaker, sex, text, start, end), got {', '.join(names)}"
        )
    names.append("too many")
    rows = [[*row[: len(names) - 1], "".join(row[len(names) - 1 :])] for row in rows]
    return pd.DataFrame([dict(zip(names, row, strict=False)) for row in rows])


def _audformat(database: Path, reading: Reading) -> pd.DataFrame:
    """Read the table with emotions of an audformat database, joined with its other tables."""
    try:
        import audformat

        frames = _frames(audformat.Database.load(str(database.parent)))
    except ImportError:
        files = sorted(database.parent.glob("db.*.csv"))
        frames = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
    for frame in frames:
        frame.columns = _named(frame.columns, reading, database)
    frames = [frame.astype(object) for frame in frames if "path" in frame]
    labelled = [frame for frame in frames if "emotion" in frame]
    if not labelled:
        raise StudyError(
            f"no table of {database} has files and emotions; tables that are not CSV "
            "are read with the package audformat: pip install 'ctl-helpers[audb]'"
        )
    main = max(labelled, key=len)
    for frame in frames:
        new = [name for name in ("speaker", "sex", "text") if name in frame and name not in main]
        if new and "start" not in frame and frame["path"].is_unique:
            main = main.merge(frame[["path", *new]], on="path", how="left")
    return main


def _frames(database) -> list[pd.DataFrame]:
    """Tables of an audformat database; what its schemes say of a speaker becomes columns."""
    frames = []
    for table in map(database.__getitem__, database.tables):
        frame = table.get().reset_index()
        for name, column in table.columns.items():
            scheme = database.schemes.get(column.scheme_id) if column.scheme_id else None
            labels = scheme.labels if scheme and isinstance(scheme.labels, dict) else {}
            facts = pd.DataFrame.from_dict(labels, orient="index", dtype=object)
            for fact in facts.columns.difference(frame.columns):
                frame[fact] = frame[name].astype(object).map(facts[fact])
        frames.append(frame)
    return frames


@lru_cache(maxsize=4096)
def _file(path: str, above: Path, folder: Path) -> str:
    """Write a path of a table in `above` with slashes, below the corpus's folder if it can be."""
    path = path.strip().replace("\\", "/")
    whole = os.path.normpath(os.path.join(above, path))
    inside = not os.path.isabs(path) or whole.startswith(f"{folder}{os.sep}")
    return (os.path.relpath(whole, folder) if inside else whole) if path else ""


def _rows(place: Path, reading: Reading, listing: Listing) -> list[dict[str, str]]:
    """Rows of a table, of the tables in a folder, or of an audformat database."""
    folder = place if place.is_dir() else place.parent
    tables, rows = tables_in(place, reading) if place.is_dir() else [place], []
    if len({table.parent for table in tables} - {folder}):
        for other in (folder / split for split in _SPLITS):
            if other.is_dir() and other not in [table.parent for table in tables]:
                listing.leave_out(other.name, "folder", "no metadata.csv in it says what it holds")
    for table in tables:
        frame = (_audformat if table.name == _DATABASE else _table)(table, reading)
        for name in frame.columns.difference(list(ALIASES)):
            if name.startswith(_LIKE_TIMES) or name in ("from", "to", "xmin", "xmax", "length"):
                meaning = f"if it is a time, say --columns '{name}:start' (end, start_ms ...)"
                listing.note(table.name, "column", f"{name!r} is not read; {meaning}")
            if name in _DIVISIONS:
                meaning = "a division of your own is --protocols partition:FOLDER"
                listing.note(table.name, "column", f"{name!r} is not read; {meaning}")
        known = {name.removesuffix("_ms") for name in frame.columns}
        endless = "start" in known and known.isdisjoint({"end", "duration"})
        if endless and frame["path"].duplicated().any():
            raise StudyError(
                f"{table.name}: several rows name one file and have a start; expected an end or a "
                f"duration, got the columns {', '.join(frame.columns)}; say --columns NAME:end"
            )
        frame = frame.reindex(columns=[*ALIASES, "too many"]).astype(object).fillna("")
        for row in frame.to_dict("records"):
            row = {name: str(value).strip() for name, value in row.items()}
            rows.append(row | {"path": _file(row["path"], table.parent, folder)})
    return rows


def folders_named(table: Path, reading: Reading) -> set[str]:
    """First folders (or files) in the paths of a table; none if it cannot be read."""
    try:
        return {row["path"].split("/")[0] for row in _rows(table, reading, Listing())}
    except StudyError:
        return set()


def list_table(place: Path, reading: Reading, speakers: Iterable[str] = ()) -> Listing:
    """List the utterances of a table, of a folder with tables, or of an audformat database.

    Parameters
    ----------
    place : Path
        The table or folder.
    reading : Reading
        How it is read.
    speakers : iterable of str
        Speakers that are known of the corpus, as they are spelled.
    """
    listing = Listing()
    rows = _rows(place, reading, listing)
    spelled = _speakers({row["speaker"] for row in rows}, speakers, listing)
    texts = _sentences({row["text"] for row in rows}, listing)
    words = {row["emotion"] for row in rows}
    emotions = {word: emotion_named(word, reading.labels) for word in words}
    takes: dict[tuple, list[Labels]] = defaultdict(list)
    other: dict[tuple, list[str]] = defaultdict(list)  # words that are no emotion here
    unused: Counter[tuple[str, str, str]] = Counter()
    listing.note_unused(reading.labels, words)
    for row in rows:
        path, emotion = row["path"], emotions[row["emotion"]]
        segment = _segment(row)
        if row["too many"]:
            unused[path, "extra", "its row has more cells than the table has columns"] += 1
        elif not path or emotion is None:
            what = reason_against(row["emotion"], reading.labels) if path else "no path in its row"
            unused[path, "extra", what] += 1
            other[path, segment].append(row["emotion"])
        elif segment is None:
            said = (f"{name} {row[name]!r}" for name in _TIMES if row[name])
            unused[path, "segment", f"no segment: {', '.join(said)}"] += 1
        else:
            sex = _SEXES.get(row["sex"].casefold(), "")
            said = Labels(emotion, spelled[row["speaker"]], sex, texts[row["text"]])
            start, end = segment
            takes[path, segment].append(replace(said, file=path, start=start, end=end))
    for (path, kind, what), count in unused.items():
        listing.leave_out(path, kind, what + (f" ({count} rows)" if count > 1 else ""))
    for one, rows_of_one in takes.items():
        _add_once(rows_of_one, other[one], reading.votes, listing)
    return listing


def _add_once(said: list[Labels], other: list[str], votes: bool, listing: Listing) -> None:
    """Add an utterance once, unless its rows (of other words, too) contradict each other."""
    path, words = said[0].file, [*(labels.emotion for labels in said), *other]
    (emotion, most), *others = Counter(words).most_common()
    listed = ", ".join(f"{word} ({count})" for word, count in [(emotion, most), *others])
    speakers = sorted({labels.speaker for labels in said} - {""})
    if len(speakers) > 1:
        reason = f"its {len(said)} rows name the speakers {', '.join(speakers)}"
        return listing.leave_out(path, "contradiction", reason)
    if others and (not votes or others[0][1] == most or emotion in other):
        return listing.leave_out(path, "contradiction", f"its rows say {listed}")
    if others:
        listing.note(path, "votes", f"its rows say {listed}: {emotion} is taken")
    elif len(said) > 1 and not votes:
        listing.leave_out(path, "duplicate", f"named in {len(said)} rows, of which one is kept")
    labels = next(labels for labels in said if labels.emotion == emotion)
    return listing.parts.append(replace(labels, speaker="".join(speakers)))


def _segment(row: Mapping[str, str]) -> tuple[float, float] | None:
    """Start and end in seconds (both NaN for a whole file), or None for what is no segment.

    Times are numbers, or such as ``0 days 00:00:01.2``. The end may be a start and a duration; no
    end is the end of the file.
    """
    try:
        first, last = _time(row, "start"), _time(row, "end")
        if math.isnan(last) and not math.isnan(first):
            last = round(first + _time(row, "duration"), 6)
    except ValueError:
        return None
    if first < 0:
        return None
    if math.isnan(last):
        return (first, last) if first > 0 else (math.nan, math.nan)
    first = 0.0 if math.isnan(first) else first
    return (first, last) if 0 <= first < last else None


def _time(row: Mapping[str, str], name: str) -> float:
    seconds = _seconds(row[name])
    return _seconds(row[f"{name}_ms"]) / 1000 if math.isnan(seconds) else seconds


def _seconds(word: str) -> float:
    if word.casefold() in _NOBODY:
        return math.nan
    try:
        return float(word.replace(",", "."))
    except ValueError:
        return pd.Timedelta(word.replace(",", ".")).total_seconds()


def _speakers(words: Iterable[str], known: Iterable[str], listing: Listing) -> dict[str, str]:
    """Spell each speaker one way: `` 03 ``, ``3`` and ``3.0`` are the same as ``03``."""
    spellings, spelled = defaultdict(set), {}
    for word in words:
        spellings[_number(word)].add(word)
    known = {_number(name): name for name in known}
    for number, alike in spellings.items():
        longest = max(map(_whole, alike), key=lambda plain: (len(plain), plain))
        name = "" if number in _NOBODY else known.get(number, longest)
        if number == "na":  # may be somebody's initials
            listing.note("", "speaker", "'NA' is taken for no speaker")
        spelled |= dict.fromkeys(alike, name)
        if name and len(alike) > 1:
            others = ", ".join(map(repr, sorted(alike)))
            listing.note("", "speaker", f"{others} are one speaker, {name}")
    return spelled


def _sentences(words: Iterable[str], listing: Listing) -> dict[str, str]:
    """Spell each sentence one way, whatever its case, blanks and punctuation."""
    spellings = defaultdict(set)
    for word in words:
        spellings[re.sub(r"[\W_]+", " ", uncased(word)).strip() or word].add(word)
    if ways := [min(alike) for alike in spellings.values() if len(alike) > 1]:
        reason = f"{len(ways)} sentences are written in several ways, such as {min(ways)!r}"
        listing.note("", "text", reason)
    return {word: min(alike) for alike in spellings.values() for word in alike}


def _whole(word: str) -> str:
    return re.sub(r"^([0-9]+)[.,]0*$", r"\1", word)


def _number(word: str) -> str:
    """Write a speaker without zeros before a number, and blanks or signs beside letters."""
    plain = re.sub(r"(?<=[^\W\d_])[\s_-]+|[\s_-]+(?=[^\W\d_])", "", uncased(_whole(word)))
    return re.sub(r"(?<!\d)0+(?=\d)", "", plain)
