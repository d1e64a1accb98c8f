"""Compare a corpus as it lies on disk with what was published of it."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from ctl_helpers.corpora.catalogue import LAYOUTS, Corpus, Labels
from ctl_helpers.corpora.listing import tally
from ctl_helpers.corpora.manifest import load_manifest
from ctl_helpers.corpora.miniature import is_miniature
from ctl_helpers.corpora.words import unknown_words

UNNAMED = "(not named)"
"""Row of the table of speakers for utterances whose speaker is not known."""


@dataclass(frozen=True)
class Audit:
    """Result of :func:`audit`.

    Attributes
    ----------
    corpus : str
        Name of the corpus.
    found : int
        Usable utterances.
    expected : int or None
        Published utterances; None for a corpus that is not known, for a miniature one, and where
        unpublished utterances count, too.
    counts : DataFrame
        Utterances per emotion (index): found and published.
    speakers : DataFrame
        Utterances per speaker (index): found and published, and the speaker's sex.
    problems : DataFrame
        Columns path (below the corpus's folder), kind, reason, left_out.
    manifest : DataFrame
        The usable utterances.
    missing : int
        Published utterances that have no file.
    """

    corpus: str
    found: int
    expected: int | None
    counts: pd.DataFrame = field(repr=False)
    speakers: pd.DataFrame = field(repr=False)
    problems: pd.DataFrame = field(repr=False)
    manifest: pd.DataFrame = field(repr=False)
    missing: int = 0

    @property
    def line(self) -> str:
        """The audit in one line."""
        of = "" if self.expected is None else f" of {self.expected}"
        line = f"{self.corpus}: {self.found}{of} utterances"
        if speakers := sum((self.speakers.index != UNNAMED) & (self.speakers["found"] > 0)):
            line += f", {speakers} speakers"
        line += f"; {self.missing} missing" if self.missing else ""
        others = self.problems[self.problems["kind"] != "missing"]
        for title, left_out in (("left out", True), ("noted", False)):
            if len(kinds := others.loc[others["left_out"] == left_out, "kind"]):
                line += f"; {len(kinds)} {title} ({tally(kinds)})"
        hint = unknown_words(others["reason"]) if self.corpus not in LAYOUTS else ""
        return line + hint


def audit(root: str | Path, name: str, jobs: int | None = None, **options) -> Audit:
    """Compare a corpus with the published counts, and list what is wrong with its files.

    Parameters
    ----------
    root, name, jobs, **options
        As for :func:`~ctl_helpers.corpora.load_manifest`.

    Returns
    -------
    Audit
        Left out are files that are extra, unpublished, duplicate (also in sound), misplaced beside
        a copy in its place, unreadable, missing, empty, silent (or so in the part that is left
        when they are cropped), antiphase, absurd, nan, short; rows of a table that are a
        contradiction, or name no segment; a whole file beside its segments (overlap); and a folder
        of other signals under the same names; and a link that leads nowhere, or to a folder that is
        read already. Noted but kept are utterances that are misplaced
        without another copy, truncated, clipped, stereo, long (to be cropped), segments that share
        a part of their file (overlap, which puts the same sound on both sides of a split), and what
        a published corpus holds under two emotions; so are columns that look like times and are
        not read, and words of the label map that no utterance has, archives, and speakers, rates
        or formats that alone tell an emotion.

    Raises
    ------
    StudyError
        As :func:`~ctl_helpers.corpora.load_manifest`.
    """
    manifest = load_manifest(root, name, jobs, quiet=True, **options)
    name, folder = manifest["corpus"].iloc[0], Path(manifest.attrs["folder"])
    entry = None if is_miniature(folder) else LAYOUTS.get(name)
    with_unpublished = entry and entry.published and options.get("unpublished")
    problems = [found | {"left_out": True} for found in manifest.attrs["problems"]]
    problems += [found | {"left_out": False} for found in manifest.attrs["notes"]]
    if entry:
        problems += [found | {"left_out": True} for found in _missing(manifest, entry)]
    emotions = _beside(manifest["emotion"], entry.emotions if entry else {})
    speakers = _beside(manifest["speaker"], entry.speaker_counts if entry else {})
    sexes = dict(manifest.groupby("speaker")["sex"].first()) | (entry.speakers if entry else {})
    speakers.insert(0, "sex", speakers.index.map(sexes))
    return Audit(
        corpus=name,
        found=len(manifest),
        expected=entry.size if entry and not with_unpublished else None,
        counts=emotions,
        speakers=speakers.rename(index={"": UNNAMED}),
        problems=pd.DataFrame(problems, columns=["path", "kind", "reason", "left_out"]),
        manifest=manifest,
        missing=sum(one.get("count", 1) for one in problems if one["kind"] == "missing"),
    )


def _beside(labels: pd.Series, published: dict[str, int]) -> pd.DataFrame:
    """Set counts beside those published (missing values where nothing was)."""
    counts = {"found": labels.value_counts(), "published": pd.Series(published, dtype="Int64")}
    frame = pd.DataFrame(counts).rename_axis(labels.name).sort_index()
    return frame.assign(found=frame["found"].fillna(0).astype(int))


def _missing(manifest: pd.DataFrame, entry: Corpus) -> list[dict]:
    """List published utterances without a file, by name where names are known, else by speaker."""
    files = [*manifest["utterance"], *(found["path"] for found in manifest.attrs["problems"])]
    parsed = [entry.parse(PurePosixPath(file)) for file in files]
    there = {found.identity: found.speaker for found in parsed if isinstance(found, Labels)}
    if there.keys() & entry.published.keys():
        # A name may lack the letter of its version.
        lacking = (u for u in entry.published if not {u, re.sub("[a-z]$", "", u)} & there.keys())
        folder, gaps = Path(manifest.attrs["folder"]), []
        for path in map(entry.published.get, lacking):
            unlisted = os.path.exists(folder / path)
            gaps.append((path, "its table has no row for it" if unlisted else "no such file", 1))
    else:
        counts = Counter(there.values()) if there else Counter(manifest["speaker"])
        gaps = [
            ("", f"speaker {speaker}: {counts[speaker]} of {published} utterances", lacking)
            for speaker, published in entry.speaker_counts.items()
            if (lacking := published - counts[speaker]) > 0
        ]
    return [{"path": p, "kind": "missing", "reason": why, "count": n} for p, why, n in gaps]
