"""List the utterances of a corpus that can be used, and why others cannot."""

import math
import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from operator import attrgetter
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import pandas as pd

from ctl_helpers.corpora.catalogue import LAYOUTS, RATE, Corpus, Labels, signal_length
from ctl_helpers.corpora.doubles import leave_copies, leave_whole, one_of_each, one_tree
from ctl_helpers.corpora.find import TABLES, packed, parse_generic, place_of, recordings
from ctl_helpers.corpora.listing import Listing, tally
from ctl_helpers.corpora.rows import list_table
from ctl_helpers.corpora.signals import READ, RECORDINGS, inspect
from ctl_helpers.corpora.tables import Reading, is_table, leads_nowhere, own_tables, tables_in
from ctl_helpers.corpora.words import emotion_named, fold, uncased, unknown_words
from ctl_helpers.errors import StudyError, log
from ctl_helpers.parallel import parallel_map

COLUMNS = (
    *("path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate"),
    *("start", "end", "utterance", "digest", "fingerprint"),
)
_INLINE = 5000


def _list_folder(entry: Corpus | None, folder: Path, labels: Mapping | None) -> Listing:
    """List the recordings of a folder with their labels, and the files that are not part."""
    files = (folder / file for file in recordings(folder, (".txt",)))
    listing, emotions = Listing(), entry.emotions_in(files) if entry else {}
    words, mapped = set(), set(map(fold, labels or ()))
    for path in recordings(folder, RECORDINGS, listing):
        found = entry.parse(path, emotions) if entry else parse_generic(path, labels)
        words.update(() if entry else path.parts[:-1])
        if entry and isinstance(found, Labels):
            words |= {found.word, found.emotion}
            # Its own words may be in the map, and what they mean; other corpora's words are not.
            word = found.word if fold(found.word) in mapped else found.emotion
            emotion = emotion_named(word, labels)
            found = replace(found, emotion=emotion) if emotion else "left out by the label map"
        if isinstance(found, Labels) and path.suffix.lower() not in READ:
            found = f"{path.suffix} is not read, only {' '.join(READ)}"
        shown = path.as_posix().encode("utf-8", "backslashreplace").decode()
        if shown != path.as_posix():
            listing.leave_out(shown, "unreadable", "its name is not UTF-8")
        elif "\r" in shown:  # which CSV does not keep
            listing.leave_out(shown, "unreadable", "its name holds a carriage return")
        elif isinstance(found, Labels):
            listing.parts.append(replace(found, file=shown))
        else:
            listing.leave_out(shown, "extra", found)
    listing.note_unused(labels, words)
    if not entry:
        listing.note_merged(labels)
    return listing


def _leave_unpublished(entry: Corpus, listing: Listing) -> None:
    """Leave out what the published corpus does not have, where most of a folder is published."""
    identities = {part.identity for part in listing.parts}
    published = set(entry.published)
    if 2 * len(identities & published) <= len(identities):
        return
    # A name may lack the letter of its version.
    published |= {identity[:-1] for identity in published}
    reason = f"not among the {entry.size} published utterances"
    for part in listing.parts:
        if part.identity not in published:
            listing.leave_out(part.file, "unpublished", reason)
    listing.parts = [part for part in listing.parts if part.identity in published]


def read_utterances(
    name: str, folder: Path, listing: Listing, jobs: int | None, longest: float
) -> list[dict]:
    """Read each file once; what can be used becomes a record, what cannot a problem.

    Parameters
    ----------
    name, folder
        The corpus, and what its files are below.
    listing : Listing
        What is read, the parts of a file one after the other; gets the problems.
    jobs : int or None
        As for :func:`~ctl_helpers.parallel.parallel_map`.
    longest : float
        Seconds in the middle of a recording that are kept.
    """
    segments = defaultdict(list)
    for part in listing.parts:
        segments[str(folder / part.file)].append((part.start, part.end))
    read = parallel_map(inspect, segments.items(), jobs, f"reading {name}", "file", dead=_dead)
    records, elsewhere = [], cache(lambda: _by_stem(folder))
    for part, signal in zip(listing.parts, chain.from_iterable(read), strict=True):
        record = vars(part) | {"path": str(folder / part.file), "corpus": name} | signal
        if not record["kind"] and record["silent_middle"] >= longest:
            reason = f"silent in the middle {longest:.2f} s, which are kept"
            record |= {"kind": "silent", "reason": reason}
        is_segment = not math.isnan(signal.get("end", math.nan))
        span = f"[{_decimals(part.start)}-{_decimals(record['end'])}]" if is_segment else ""
        record["utterance"] = part.file + span
        if record["kind"] == "missing":
            record["reason"] += _meant(part.file, elsewhere())
        if record["kind"]:
            listing.leave_out(record["utterance"], record["kind"], record["reason"])
        else:
            records.append(record)
    return records


def _by_stem(folder: Path) -> dict[str, str]:
    """Find the one recording below a folder of each name, without suffix, case, Unicode form."""
    there = defaultdict(list)
    for path in recordings(folder, RECORDINGS):
        there[uncased(path.stem)].append(path.as_posix())
    return {stem: paths[0] for stem, paths in there.items() if len(paths) == 1}


def _meant(file: str, there: Mapping[str, str]) -> str:
    """Say which file may have been meant: in another folder, case, format or Unicode form."""
    name = PurePosixPath(file)
    other = there.get(uncased(name.stem)) or there.get(uncased(name.name))
    if other in (None, file):  # a link that leads nowhere has its own name
        return ""
    if normalize("NFC", other) == normalize("NFC", file):
        return f"; it is written {other!a} on the disk and {file!a} in the table"
    return f"; did you mean {other}?"


def _dead(item: tuple[str, list]) -> list[dict]:
    reason = "the process that reads it dies; is there enough memory?"
    return [{"kind": "unreadable", "reason": reason}] * len(item[1])


def _decimals(seconds: float) -> str:
    """Write seconds with two decimals, or with as many as they have."""
    return f"{seconds:.2f}" if seconds == round(seconds, 2) else repr(seconds)


def _note(frame: pd.DataFrame, longest: float, listing: Listing) -> None:
    """Note what is noteworthy about utterances that are kept."""
    for row in frame.itertuples():
        if row.misplaced:
            listing.note(row.utterance, "misplaced", row.misplaced)
        for kind, reason in row.notes:
            listing.note(row.utterance, kind, reason)
        if row.duration > longest:
            reason = f"{row.duration:.2f} s, cropped to {longest:.2f} s"
            listing.note(row.utterance, "long", reason)


def _note_overlaps(frame: pd.DataFrame, listing: Listing) -> None:
    """Note once of each segment that it shares a part of its file with another."""
    others, last = {}, None
    parts = frame[frame.duplicated("file", keep=False)].sort_values(["file", "start"])
    for row in parts.itertuples():
        if last and last.file == row.file and row.start < last.end - 1e-3:
            others.setdefault(last.utterance, row.utterance)
            others.setdefault(row.utterance, last.utterance)
        if not last or last.file != row.file or row.end > last.end:
            last = row
    for utterance, other in others.items():
        listing.note(utterance, "overlap", f"it shares a part of the file with {other}")


def _note_telling(frame: pd.DataFrame, listing: Listing) -> None:
    """Note what tells an emotion without its sound: speakers, rates or formats of its own."""
    facts = {"speaker": frame["speaker"], "sampling rate": frame["sampling_rate"]}
    facts["format"] = frame["file"].str.rsplit(".", n=1).str[-1].str.lower()
    for what, values in facts.items():
        counts = pd.crosstab(values[values != ""], frame["emotion"])
        many = min(counts.shape) > 1 and len(counts) <= len(frame) / 2
        if not many or counts.sum(axis=None) < len(frame) / 2:  # of most, it is not known
            continue
        says = counts.idxmax(axis=1)  # what somebody would guess who knows nothing else
        if own_of := [e for e in counts if _is_told(counts[e], counts[says == e])]:
            reason = f"the {what} alone tells {', '.join(own_of)} apart: scores may be too high"
            listing.note("", "telling", reason)


def _is_told(emotion: pd.Series, theirs: pd.DataFrame) -> bool:
    """Whether some values are an emotion's own, but for one utterance in ten or fewer."""
    right = theirs[emotion.name].sum()
    return right >= 0.9 * max(emotion.sum(), theirs.sum(axis=None))


def check_known(manifest: pd.DataFrame, column: str, asked_by: str) -> None:
    """Raise a StudyError unless a label, such as the speaker, is known of every utterance."""
    unknown = manifest[manifest[column] == ""]
    if len(unknown):
        raise StudyError(
            f"{asked_by}: expected a {column} for every utterance, got {len(unknown)} "
            f"of {len(manifest)} without one, as {unknown['path'].iloc[0]}"
        )


def _distinct(found: list[dict]) -> list[dict]:
    return list({tuple(one.values()): one for one in found}.values())


def _note_unlisted(table: Path, listing: Listing) -> None:
    """Note how many recordings lie beside the table of a folder and have no row in it."""
    listed = {part.file for part in listing.parts} | {one["path"] for one in listing.problems}
    others = [path for path in map(str, recordings(table.parent)) if path not in listed]
    if others:
        reason = f"recordings in its folder without a row in it: {len(others)}, such as {others[0]}"
        listing.note(table.name, "unlisted", reason)


def _other_tables(place: Path, is_inside: bool, reading: Reading) -> list[Path]:
    """Tables of a corpus beside the one that is read: in its folder, and beside that."""
    folder = place.parent if is_inside else place.with_suffix("")
    beside = [] if is_inside else [place.with_suffix(suffix) for suffix in (".csv", ".tsv")]
    tables = [*own_tables(folder, reading), *beside]
    return [table for table in tables if table != place and is_table(table, reading)]


def load_manifest(
    root: str | Path,
    name: str,
    jobs: int | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    votes: bool = False,
    unpublished: bool = False,
    seconds: float | None = None,
    quiet: bool = False,
) -> pd.DataFrame:
    """List the usable utterances of a corpus, one row each.

    Every recording is read once. What cannot be used is left out and named: in the manifest's
    ``attrs["problems"]`` and in one line of warning. So is all but one of several utterances with
    the same sound (also where it was changed a little), and all of them where their emotions
    differ. Remarks on utterances that are kept are in ``attrs["notes"]``.

    Parameters
    ----------
    root : str or Path
        The folder that holds the corpora (see :func:`find_corpora`).
    name : str
        Name of the corpus: of the catalogue, of a folder or of a table.
    jobs : int or None
        Processes that read; by default this one, and all cores for thousands of recordings.
    labels : mapping, optional
        Label map, such as ``{"excited": "happy"}``: from words in tables and folders, or from the
        emotions that they mean, to your own labels; ``""`` leaves utterances out.
    columns : mapping, optional
        Names of columns here by their names in the table, such as ``{"clip": "path"}``, beside the
        other names that are known (see ``ALIASES`` in ``tables``).
    votes : bool
        For tables with a row per rater: take the emotion that most rows of an utterance name, and
        leave it out if there is a tie. By default an utterance whose rows differ is left out.
    unpublished : bool
        Whether to use utterances that the first edition of a corpus does not have: EmoDB 2.0 has
        281 beside the 535 that were published.
    seconds : float, optional
        What signals will be padded or cropped to, for the notes; by default the corpus's length.
    quiet : bool
        Whether to do without the line of warning.

    Returns
    -------
    DataFrame
        Columns path (absolute), corpus, emotion, speaker, sex, text, duration (s), sampling_rate
        (Hz), start and end (s; NaN where the utterance is the whole file), utterance (name below
        the corpus's folder, such as ``a.wav`` or ``a.wav[1.20-3.40]``), digest (hash of the decoded
        samples and the rate) and fingerprint (see :mod:`~ctl_helpers.corpora.fingerprints`), sorted
        by file and start. Labels that are not known are "". ``attrs`` holds folder, problems (dicts
        of path, kind, reason) and notes (the same).

    Raises
    ------
    StudyError
        If the folder, the corpus or a column is not there, or nothing in it can be used.
    """
    reading = Reading(labels, columns, votes)
    name, place = place_of(root, name, reading)
    if leads_nowhere(place):
        raise StudyError(f"corpus {name!r}: {place} is a link that leads nowhere")
    entry, is_file = LAYOUTS.get(name), os.path.isfile(place)
    folder = place.parent if is_file else place
    native = not is_file and (entry or not tables_in(place, reading))
    try:
        if native:
            listing = _list_folder(entry, folder, labels)
            for table in sorted(folder.iterdir()) if not entry else []:
                if is_table(table, reading) or table.name.lower().endswith(TABLES):
                    reason = "a table that is not read; to use it call it manifest.csv"
                    listing.note(table.name, "table", reason)
        else:
            listing = list_table(place, reading, entry.speakers if entry else ())
            own = place.stem.casefold() in ("manifest", "metadata")
            if is_file and own:
                _note_unlisted(place, listing)
            for table in _other_tables(place, own, reading) if is_file else ():
                reason = f"another table of the corpus, which is not read: {place.name} is"
                listing.note(table.name, "table", reason)
    except StudyError as error:
        raise StudyError(f"corpus {name!r}: {error}") from error
    if not listing.parts and not listing.problems:
        if not native:
            raise StudyError(f"corpus {name!r}: no rows in {place}")
        example = entry.example if entry else "<emotion>/*.wav"
        raise StudyError(
            f"corpus {name!r}: no wav files under {folder}; expected {folder}/{example}"
            f"{packed(folder)}"
        )
    wrong = [part for part in listing.parts if part.misplaced] if entry else []
    if 2 * len(wrong) > len(listing.parts):
        raise StudyError(
            f"corpus {name!r}: {len(wrong)} of {len(listing.parts)} files contradict their folders,"
            f" such as {wrong[0].file}: {wrong[0].misplaced}; if this is another corpus, list its "
            "files in a manifest.csv with path and emotion"
        )
    if native and entry and not unpublished:
        _leave_unpublished(entry, listing)
    longest = seconds or signal_length(name) / RATE
    listing.parts.sort(key=attrgetter("file", "start"))
    jobs = 1 if jobs is None and len(listing.parts) < _INLINE else jobs
    records = read_utterances(name, folder, listing, jobs, longest)
    if native and entry:
        records = one_of_each(entry, records, listing)
    else:
        records = one_tree(records, labels, listing)
    frame = pd.DataFrame(records, columns=[*COLUMNS, "file", "misplaced", "notes"])
    frame = leave_whole(frame, listing)
    frame = leave_copies(frame, entry is not None, listing)
    _note(frame, longest, listing)
    _note_overlaps(frame, listing)
    _note_telling(frame, listing)
    problems = sorted(_distinct(listing.problems), key=lambda found: found["path"])
    first = "e.g. {path}: {reason}".format(**problems[0]) if problems else ""
    if frame.empty:
        count = f"none of {len(problems)} files under {folder} can be used"
        unknown = "" if entry else unknown_words(found["reason"] for found in problems)
        unread = [note["reason"] for note in listing.notes if note["kind"] == "column"]
        unknown += "".join(f"; column {reason}" for reason in unread[:1])
        if entry and all(found["kind"] == "extra" for found in problems):
            unknown += "; if this is another corpus, give its folder another name"
        if {found["kind"] for found in problems} == {"segment"}:
            unknown += "; leave columns of times out with --columns NAME: if rows are whole files"
        raise StudyError(f"corpus {name!r}: {count}, {first}{unknown}")
    if problems and not quiet:
        count = f"{len(problems)} of {len(problems) + len(frame)} files under {folder} left out"
        kinds = tally(found["kind"] for found in problems)
        log.warning("%s: %s (%s), %s", name, count, kinds, first)
    manifest = frame[list(COLUMNS)].reset_index(drop=True)
    manifest.attrs |= {"folder": str(folder), "problems": problems}
    manifest.attrs["notes"] = _distinct(listing.notes)
    return manifest
