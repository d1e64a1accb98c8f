"""List what a corpus holds, by the names of its files and folders or by its tables."""

from collections.abc import Iterator
from dataclasses import replace
from operator import attrgetter
from pathlib import Path, PurePosixPath

from ctl_helpers.corpora.catalogue import Corpus, Labels
from ctl_helpers.corpora.files import PACKED, leads_nowhere, packed, recordings, shown
from ctl_helpers.corpora.find import TABLES, Place, parse_generic
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.rows import list_table
from ctl_helpers.corpora.signals import READ, RECORDINGS
from ctl_helpers.corpora.tables import (
    is_table,
    own_tables,
    part_tables,
    tables_in,
)
from ctl_helpers.corpora.words import emotion_named, fold
from ctl_helpers.errors import StudyError


def list_contents(place: Place, unpublished: bool = False) -> Listing:
    """List the utterances of a corpus, sorted, and what is left out before anything is read.

    Parameters
    ----------
    place : Place
        The corpus.
    unpublished : bool
        Whether to list what the first edition of a corpus does not have.

    Raises
    ------
    StudyError
        If nothing is there, a table cannot be used, or most files contradict their folders.
    """
    if leads_nowhere(place.path):
        raise StudyError(f"corpus {place.name!r}: {place.path} is a link that leads nowhere")
    try:
        listing = _by_tables(place) if place.is_listed else _by_names(place)
    except StudyError as error:
        raise StudyError(f"corpus {place.name!r}: {error}") from error
    if not listing.parts and not listing.problems:
        raise StudyError(f"corpus {place.name!r}: {_nothing_in(place)}")
    if place.entry:
        _check_folders(place, listing)
    if place.entry and not place.is_listed and not unpublished:
        _leave_unpublished(place.entry, listing)
    listing.parts.sort(key=attrgetter("file", "start"))
    return listing


def _nothing_in(place: Place) -> str:
    if place.is_listed:
        return f"no rows in {place.path}"
    example = place.entry.example if place.entry else "<emotion>/*.wav"
    folder = place.folder
    return f"no wav files under {folder}; expected {folder}/{example}{packed(folder)}"


def _check_folders(place: Place, listing: Listing) -> None:
    """Raise a StudyError where most files contradict the folders that they are in."""
    wrong = [part for part in listing.parts if part.misplaced]
    if 2 * len(wrong) > len(listing.parts):
        raise StudyError(
            f"corpus {place.name!r}: {len(wrong)} of {len(listing.parts)} files contradict their "
            f"folders, such as {wrong[0].file}: {wrong[0].misplaced}; if this is another corpus, "
            "list its files in a manifest.csv with path and emotion"
        )


def _by_names(place: Place) -> Listing:
    """List a folder by the names below it; note its tables, which are not read."""
    folder, reading = place.folder, place.reading
    listing = _list_folder(place)
    beside = [] if tables_in(folder, reading) else sorted(folder.iterdir())
    for table in (one for one in beside if one.name not in place.others):
        if is_table(table, reading) or table.name.lower().endswith(TABLES):
            reason = "a table that is not read; to use it save it as manifest.csv"
            listing.note(table.name, "table", reason)
    return listing


def _by_tables(place: Place) -> Listing:
    """List the rows of a table or a database; note recordings and tables beside it."""
    listing = list_table(place.path, place.reading, place.entry.speakers if place.entry else ())
    if not place.is_file:
        _check_parts(place, listing)
        return listing
    if place.is_inside:
        _note_unlisted(place.path, place.folder, listing)
    for table in _other_tables(place):
        reason = f"another table of the corpus, which is not read: {place.path.name} is"
        listing.note(table.name, "table", reason)
    return listing


def _list_folder(place: Place) -> Listing:
    """List the recordings of a folder with their labels, and the files that are not part."""
    entry, folder, labels = place.entry, place.folder, place.reading.labels
    listing = Listing()
    emotions = entry.emotions_in(_label_files(place, listing)) if entry else {}
    words, mapped = set(), set(map(fold, labels or ()))
    for path in recordings(folder, (*RECORDINGS, *PACKED), listing, place.others):
        if path.name.lower().endswith(PACKED):
            reason = "what is in it is not read until it is unpacked"
            listing.note(shown(path.as_posix()), "archive", reason)
            continue
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
        name = shown(path.as_posix())
        if name != path.as_posix():
            listing.leave_out(name, "unreadable", "its name is not UTF-8")
        elif "\r" in name:  # which CSV does not keep
            listing.leave_out(name, "unreadable", "its name holds a carriage return")
        elif isinstance(found, Labels):
            listing.parts.append(replace(found, file=name))
        else:
            listing.leave_out(name, "extra", found)
    listing.note_unused(labels, words)
    if not entry:
        listing.note_merged(labels)
    return listing


def _label_files(place: Place, listing: Listing) -> Iterator[str]:
    """Read the files that name the emotions of recordings; one that cannot be read is named."""
    if not (pattern := place.entry.label_files):
        return
    files = recordings(place.folder, (".txt",), others=place.others)
    for file in (file for file in files if file.match(pattern)):
        try:
            yield (place.folder / file).read_text("utf-8", "replace")
        except OSError as error:
            reason = f"a file of labels that cannot be read ({error.strerror})"
            listing.leave_out(shown(file.as_posix()), "unreadable", reason)


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


def _check_parts(place: Place, listing: Listing) -> None:
    """Note recordings of an audiofolder's parts without a row; leave parts without a table out."""
    if not (tables := part_tables(place.folder, place.reading)):
        return
    listed = {_first_folder(part.file) for part in listing.parts}
    listed |= {table.parent.name for table in tables}
    there = {_first_folder(path) for path in recordings(place.folder, RECORDINGS)}
    for name in sorted(there - listed):
        listing.leave_out(name, "folder", "no metadata.csv says what it holds")
    for table in tables:
        _note_unlisted(table, place.folder, listing)


def _first_folder(file: str | PurePosixPath) -> str:
    """First folder in the path of a file; ``.`` if there is none."""
    return str(PurePosixPath(*PurePosixPath(file).parent.parts[:1]))


def _note_unlisted(table: Path, folder: Path, listing: Listing) -> None:
    """Note how many recordings lie beside a table of a corpus's folder and have no row in it."""
    listed = {part.file for part in listing.parts} | {one["path"] for one in listing.problems}
    below = table.parent.relative_to(folder)
    beside = ((below / path).as_posix() for path in recordings(table.parent))
    if others := [path for path in beside if path not in listed]:
        reason = f"recordings in its folder without a row in it: {len(others)}, such as {others[0]}"
        listing.note(table.relative_to(folder).as_posix(), "unlisted", reason)


def _other_tables(place: Place) -> list[Path]:
    """Tables of a corpus beside the one that is read: in its folder, and beside that."""
    inside, reading = place.is_inside, place.reading
    folder = place.folder if inside else place.path.with_suffix("")
    beside = [] if inside else [place.path.with_suffix(suffix) for suffix in (".csv", ".tsv")]
    tables = [*own_tables(folder, reading), *beside]
    return [table for table in tables if table != place.path and is_table(table, reading)]
