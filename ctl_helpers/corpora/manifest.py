"""List the utterances of a corpus that can be used, and why others can not."""

import logging
import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import chain
from operator import attrgetter, itemgetter
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from ctl_helpers.corpora.catalogue import LAYOUTS, RATE, Corpus, Labels, signal_length
from ctl_helpers.corpora.copies import same_sounds
from ctl_helpers.corpora.find import parse_generic, place_of, recordings
from ctl_helpers.corpora.signals import READ, RECORDINGS, inspect
from ctl_helpers.corpora.tables import Listing, Reading, list_table, tables_in, tally
from ctl_helpers.corpora.words import emotion_named, unknown_words
from ctl_helpers.errors import StudyError
from ctl_helpers.parallel import parallel_map

COLUMNS = (
    *("path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate"),
    *("start", "end", "utterance", "digest", "fingerprint"),
)
_DERIVED = re.compile(
    r"laryngo|noise|noisy|augm|sampl|enhanc|cop(y|ies)|backup|\dk|revers|pitch|speed|stretch", re.I
)
_PLAIN = ("wav", "wavs", "speech", "audio", "clean", "original")
_INLINE = 5000
_log = logging.getLogger("ctl_helpers")


def _list_folder(entry: Corpus | None, folder: Path, labels: Mapping | None) -> Listing:
    """List the recordings of a folder with their labels, and the files that are not part."""
    if entry:  # its codes may be in the map, as well as what they mean
        labels = {emotion_named(word) or word: label for word, label in (labels or {}).items()}
    listing, emotions = Listing(), entry.emotions_in(folder) if entry else {}
    words: set[str] = set()
    for path in recordings(folder, RECORDINGS, listing):
        found = entry.parse(path, emotions) if entry else parse_generic(path, labels)
        words.update(path.parts[:-1])
        if entry and isinstance(found, Labels):
            words.add(found.emotion)
            emotion = emotion_named(found.emotion, labels)
            found = replace(found, emotion=emotion) if emotion else "left out by the label map"
        if isinstance(found, Labels) and path.suffix.lower() not in READ:
            found = f"{path.suffix} is not read, only {' '.join(READ)}"
        shown = path.as_posix().encode("utf-8", "backslashreplace").decode()
        if shown != path.as_posix():
            listing.leave_out(shown, "unreadable", "its name is not UTF-8")
        elif isinstance(found, Labels):
            listing.parts.append(replace(found, file=shown))
        else:
            listing.leave_out(shown, "extra", found)
    listing.note_unused(labels, words)
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


def _read(
    name: str, folder: Path, listing: Listing, jobs: int | None, longest: float
) -> list[dict]:
    """Read each file once; what can be used becomes a record, what can not a problem."""
    parts = sorted(listing.parts, key=attrgetter("file", "start"))
    segments = defaultdict(list)
    for part in parts:
        segments[str(folder / part.file)].append((part.start, part.end))
    jobs = 1 if jobs is None and len(parts) < _INLINE else jobs
    read = parallel_map(inspect, segments.items(), jobs, f"reading {name}", "file", dead=_dead)
    records = []
    for part, signal in zip(parts, chain.from_iterable(read), strict=True):
        record = vars(part) | {"path": str(folder / part.file), "corpus": name} | signal
        if not record["kind"] and record["hush"] >= longest:
            reason = f"the {longest:.2f} s in its middle, which count, are silent"
            record |= {"kind": "silent", "reason": reason}
        is_segment = not math.isnan(signal.get("end", math.nan))
        span = f"[{_decimals(part.start)}-{_decimals(record['end'])}]" if is_segment else ""
        record["utterance"] = part.file + span
        if record["kind"]:
            listing.leave_out(record["utterance"], record["kind"], record["reason"])
        else:
            records.append(record)
    return records


def _dead(item: tuple[str, list]) -> list[dict]:
    reason = "the process that reads it dies; is there enough memory?"
    return [{"kind": "unreadable", "reason": reason}] * len(item[1])


def _decimals(seconds: float) -> str:
    """Write seconds with two decimals, or with as many as they have."""
    return f"{seconds:.2f}" if seconds == round(seconds, 2) else repr(seconds)


def _tree(file: str, entry: Corpus) -> str:
    """Folders above those that name an emotion or a speaker, such as ``wav`` of ``wav/*.wav``."""
    folders = list(PurePosixPath(file).parts[:-1])
    while folders and (emotion_named(folders[-1]) or entry.speaker_named(folders[-1])):
        folders.pop()
    return "/".join(folders)


def _one_of_each(entry: Corpus, records: list[dict], listing: Listing) -> list[dict]:
    """Keep one file of each utterance: of the folder that the layout names, and in its place.

    A folder with other signals under the names of those that are kept (a laryngograph's, or copies
    with noise) is left out as a whole.
    """
    native = _tree(entry.example, entry).casefold()

    def rank(tree: str) -> tuple:
        other = native and tree.casefold().split("/")[-1] != native
        return bool(_DERIVED.search(tree)), other, tree.count("/") + bool(tree), tree

    trees = defaultdict(list)
    for record in sorted(records, key=lambda record: record["file"].count("/")):
        trees[_tree(record["file"], entry)].append(record)
    if _DERIVED.search(best := min(trees, key=rank, default="")):
        listing.note(best, "folder", "the only one, though named like one of changed copies")
    first: dict[str, dict] = {}
    left: list[dict] = []
    for tree in sorted(trees, key=rank):
        both = [(first[r["identity"]], r) for r in trees[tree] if r["identity"] in first]
        if 2 * sum(one["digest"] != two["digest"] for one, two in both) > len(both):
            where = _tree(both[0][0]["file"], entry) or "."
            reason = f"{len(trees[tree])} files with other signals under the names of {where}"
            listing.problems = [p for p in listing.problems if not p["path"].startswith(f"{tree}/")]
            listing.leave_out(tree or ".", "folder", reason)
            continue
        first = {record["identity"]: record for record in reversed(trees[tree])} | first
        left += trees[tree]
    kept: dict[str, dict] = {}
    for record in sorted(left, key=lambda record: bool(record["misplaced"])):
        one = kept.setdefault(record["identity"], record)
        if one is not record:
            same = one["digest"] == record["digest"]
            copy = f"{'a second copy of' if same else 'another sound named as'} {one['file']}"
            kind = "misplaced" if record["misplaced"] else "duplicate"
            reason = "; ".join(filter(None, (record["misplaced"], copy)))
            listing.leave_out(record["file"], kind, reason)
    return sorted(kept.values(), key=itemgetter("file"))


def _parallel(one: dict[tuple, float], two: dict[tuple, float]) -> bool:
    """Whether names (keys) are the same and lengths in proportion, as those of changed copies.

    Lengths that hardly differ inside a folder, as of cut signals, tell nothing.
    """

    def near(values: np.ndarray, width: float) -> float:
        return float(np.mean(np.abs(values - np.median(values)) < width))

    both = list(one.keys() & two.keys())
    if len(both) < max(5, 0.8 * len(two)):
        return False
    first, second = (np.log([lengths[name] for name in both]) for lengths in (one, two))
    return near(first - second, 0.01) >= 0.8 and near(first, 0.05) <= 0.5


def _one_tree(records: list[dict], labels: Mapping | None, listing: Listing) -> list[dict]:
    """Keep one of several folders by emotion that are changed copies of one another."""
    trees = defaultdict(dict)
    for record in records:
        *folders, name = PurePosixPath(record["file"]).parts
        record["tree"] = "/".join(f for f in folders if not emotion_named(f, labels))
        trees[record["tree"]][record["emotion"], PurePosixPath(name).stem] = record["duration"]

    def rank(tree: str) -> tuple:
        plain = tree.casefold().split("/")[-1] in _PLAIN
        return bool(_DERIVED.search(tree)), not plain, tree.count("/") + bool(tree), tree

    kept: list[str] = []
    for tree in sorted(trees, key=rank):
        like = next((one for one in kept if _parallel(trees[one], trees[tree])), None)
        if like is None:
            kept.append(tree)
        else:
            reason = (
                f"{len(trees[tree])} files with the names of {like or '.'}, in proportion as long"
            )
            listing.leave_out(tree or ".", "folder", reason)
    return [record for record in records if record["tree"] in kept]


def _leave_whole(frame: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """Leave out a whole file beside its segments: it holds the sound of them all."""
    whole = frame["start"].isna() & frame.duplicated("file", keep=False)
    for utterance in frame["utterance"][whole]:
        listing.leave_out(utterance, "overlap", "the whole file, beside its segments")
    return frame[~whole]


def _leave_copies(frame: pd.DataFrame, published: bool, listing: Listing) -> pd.DataFrame:
    """Keep one of several utterances with the same sound, and none where their emotions differ.

    A published corpus that holds changed copies of a sound under two emotions keeps them, noted:
    its counts include them.
    """
    gone = np.zeros(len(frame), bool)
    groups = pd.Series(np.arange(len(frame))).groupby(same_sounds(frame))
    for rows in (group.to_numpy() for _, group in groups if len(group) > 1):
        derived = [bool(_DERIVED.search(os.path.dirname(file))) for file in frame["file"][rows]]
        rows = rows[np.argsort(derived, kind="stable")]
        one_emotion = frame["emotion"][rows].nunique() == 1
        kept = not one_emotion and published and frame["digest"][rows].is_unique
        for row in rows[1:] if one_emotion else rows:
            other = rows[0] if row != rows[0] else rows[1]
            reason = f"the same sound as {frame['utterance'][other]}"
            if not one_emotion:
                reason += f", which is {frame['emotion'][other]}"
            kind = "duplicate" if one_emotion else "contradiction"
            say = listing.note if kept else listing.leave_out
            say(frame["utterance"][row], kind, reason)
            gone[row] = not kept
    return frame[~gone]


def _note(frame: pd.DataFrame, longest: float, listing: Listing) -> None:
    """Note what is worth knowing of utterances that are kept."""
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

    Every recording is read once. What can not be used is left out and named: in the manifest's
    ``attrs["problems"]`` and in one line of warning. So is all but one of several utterances with
    the same sound (also where it was changed a little), and all of them where their emotions
    differ. What is worth knowing of utterances that are kept is in ``attrs["notes"]``.

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
        emotions that they mean, to labels of one's own; ``""`` leaves utterances out.
    columns : mapping, optional
        Names of columns here by their names in the table, such as ``{"clip": "path"}``, beside the
        other names that are known (see ``ALIASES`` in ``tables``).
    votes : bool
        For tables with a row per rater: take the emotion that most rows of an utterance say, and
        leave out where there is no such. By default, rows that differ contradict each other.
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
    entry, is_file = LAYOUTS.get(name), place.is_file()
    folder = place.parent if is_file else place
    native = not is_file and (entry or not tables_in(place, reading))
    try:
        if native:
            listing = _list_folder(entry, folder, labels)
        else:
            listing = list_table(place, reading, entry.speakers if entry else ())
    except StudyError as error:
        raise StudyError(f"corpus {name!r}: {error}") from error
    if not listing.parts and not listing.problems:
        example = entry.example if entry else "<emotion>/*.wav"
        raise StudyError(
            f"corpus {name!r}: no wav files under {folder}; expected {folder}/{example}"
        )
    if native and entry and entry.published and not unpublished:
        _leave_unpublished(entry, listing)
    longest = seconds or signal_length(name) / RATE
    records = _read(name, folder, listing, jobs, longest)
    if native and entry:
        records = _one_of_each(entry, records, listing)
    elif native:
        records = _one_tree(records, labels, listing)
    frame = pd.DataFrame(records, columns=[*COLUMNS, "file", "misplaced", "notes"])
    frame = _leave_whole(frame, listing)
    frame = _leave_copies(frame, entry is not None, listing)
    _note(frame, longest, listing)
    _note_overlaps(frame, listing)
    problems = sorted(_distinct(listing.problems), key=lambda found: found["path"])
    first = "e.g. {path}: {reason}".format(**problems[0]) if problems else ""
    if frame.empty:
        count = f"none of {len(problems)} files under {folder} can be used"
        unknown = "" if entry else unknown_words(found["reason"] for found in problems)
        raise StudyError(f"corpus {name!r}: {count}, {first}{unknown}")
    if problems and not quiet:
        count = f"{len(problems)} of {len(problems) + len(frame)} files under {folder} left out"
        kinds = tally(found["kind"] for found in problems)
        _log.warning("%s: %s (%s), %s", name, count, kinds, first)
    manifest = frame[list(COLUMNS)].reset_index(drop=True)
    manifest.attrs |= {"folder": str(folder), "problems": problems}
    manifest.attrs["notes"] = _distinct(listing.notes)
    return manifest
