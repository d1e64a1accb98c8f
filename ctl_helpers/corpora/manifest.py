"""List the utterances of a corpus that can be used, and why others cannot."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ctl_helpers.corpora.catalogue import RATE, signal_length
from ctl_helpers.corpora.contents import list_contents
from ctl_helpers.corpora.doubles import leave_copies, leave_whole, one_of_each, one_tree
from ctl_helpers.corpora.find import Place, find_place
from ctl_helpers.corpora.listing import Listing, tally
from ctl_helpers.corpora.notes import note_all
from ctl_helpers.corpora.tables import Reading
from ctl_helpers.corpora.utterances import read_utterances
from ctl_helpers.corpora.words import unknown_words
from ctl_helpers.errors import StudyError, log

COLUMNS = (
    *("path", "corpus", "emotion", "speaker", "sex", "text", "duration", "sampling_rate"),
    *("start", "end", "utterance", "digest", "fingerprint"),
)
_INLINE = 5000


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
        samples and the rate), fingerprint (see :mod:`~ctl_helpers.corpora.fingerprints`) and
        version (hash of all sounds and labels, in every row), sorted by file and start. Labels that
        are not known are "". ``attrs`` holds folder, problems (dicts of path, kind, reason),
        left_out (how many files they are) and notes (dicts as of problems).

    Raises
    ------
    StudyError
        If the folder, the corpus or a column is not there, or nothing in it can be used.
    """
    place = find_place(root, name, Reading(labels, columns, votes))
    listing = list_contents(place, unpublished)
    longest = seconds or signal_length(place.name) / RATE
    jobs = 1 if jobs is None and len(listing.parts) < _INLINE else jobs
    records = read_utterances(place.name, place.folder, listing, jobs, longest)
    frame = _once_each(place, records, listing)
    note_all(frame, longest, listing)
    problems = sorted(_distinct(listing.problems), key=lambda found: found["path"])
    if frame.empty:
        raise StudyError(_nothing_left(place, problems, listing))
    lost = len(problems) + listing.in_folders
    if problems and not quiet:
        counts = lost, lost + len(frame), place.folder
        kinds = tally(found["kind"] for found in problems)
        said = "%s: %d of %d files under %s left out (%s), %s"
        log.warning(said, place.name, *counts, kinds, _first(problems))
    manifest = frame[list(COLUMNS)].reset_index(drop=True)
    content = manifest[["digest", "emotion", "speaker"]].to_csv(index=False).encode()
    manifest["version"] = hashlib.blake2b(content, digest_size=6).hexdigest()
    manifest.attrs |= {"folder": str(place.folder), "problems": problems, "left_out": lost}
    manifest.attrs["notes"] = _distinct(listing.notes)
    return manifest


def _once_each(place: Place, records: list[dict], listing: Listing) -> pd.DataFrame:
    """Keep every utterance once: leave changed copies, whole files beside segments, doubles out."""
    if place.entry and not place.is_listed:
        records = one_of_each(place.entry, records, listing)
    else:
        records = one_tree(records, place.reading.labels, listing)
    frame = pd.DataFrame(records, columns=[*COLUMNS, "file", "misplaced", "notes"])
    frame = leave_whole(frame, listing)
    return leave_copies(frame, place.entry is not None, listing)


def _first(problems: list[dict]) -> str:
    return "e.g. {path}: {reason}".format(**problems[0]) if problems else ""


def _nothing_left(place: Place, problems: list[dict], listing: Listing) -> str:
    """Say why none of a corpus can be used, and what may help."""
    count = f"none of {len(problems)} files under {place.folder} can be used"
    kinds = {found["kind"] for found in problems}
    native = None if place.is_listed else place.entry
    hint = "" if native else unknown_words(found["reason"] for found in problems)
    unread = [note["reason"] for note in listing.notes if note["kind"] == "column"]
    hint += "".join(f"; column {reason}" for reason in unread[:1])
    if native and native.label_files:
        hint += f"; its emotions are looked for in {native.label_files} and in names of folders"
    if native and kinds <= {"extra"}:
        hint += "; if this is another corpus, give its folder another name"
    if kinds == {"segment"}:
        hint += "; leave columns of times out with --columns NAME: if rows are whole files"
    return f"corpus {place.name!r}: {count}, {_first(problems)}{hint}"
