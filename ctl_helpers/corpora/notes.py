"""What is noteworthy about the utterances that are kept."""

import pandas as pd

from ctl_helpers.corpora.listing import Listing


def note_all(frame: pd.DataFrame, longest: float, listing: Listing) -> None:
    """Note misplaced and cropped files, segments that overlap, and what tells emotions apart.

    Parameters
    ----------
    frame : DataFrame
        The utterances that are kept.
    longest : float
        Seconds in the middle of a recording that are kept.
    listing : Listing
        Gets the notes.
    """
    _note_each(frame, longest, listing)
    _note_overlaps(frame, listing)
    _note_telling(frame, listing)


def _note_each(frame: pd.DataFrame, longest: float, listing: Listing) -> None:
    """Note what was found in reading single utterances."""
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
