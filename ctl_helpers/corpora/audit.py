"""Compare a corpus as it lies on disk with what was published of it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from ctl_helpers.corpora.catalogue import CATALOGUE, Corpus, signal_length
from ctl_helpers.corpora.manifest import Survey, survey
from ctl_helpers.corpora.miniature import is_miniature
from ctl_helpers.corpora.native import Labels

RATE = 22_050
"""Rate in Hz at which signal lengths are counted."""


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
        Published utterances; None for a corpus outside the catalogue and for a miniature one.
    counts : DataFrame
        Utterances per emotion (index): found and published.
    speakers : DataFrame
        Utterances per speaker (index): found and published, and the speaker's sex.
    problems : DataFrame
        Columns path (below the corpus's folder), kind, reason, left_out.
    folder : Path
        Where the corpus was found.
    """

    corpus: str
    found: int
    expected: int | None
    counts: pd.DataFrame = field(repr=False)
    speakers: pd.DataFrame = field(repr=False)
    problems: pd.DataFrame = field(repr=False)
    folder: Path = field(repr=False)

    @property
    def line(self) -> str:
        """The audit in one line."""
        of = "" if self.expected is None else f" of {self.expected}"
        line = f"{self.corpus}: {self.found}{of} utterances"
        if speakers := sum((self.speakers.index != "") & (self.speakers["found"] > 0)):
            line += f", {speakers} speakers"
        missing = self.problems["kind"] == "missing"
        gone = ~missing & self.problems["left_out"]
        noted = ~missing & ~self.problems["left_out"]
        for title, rows in (("missing", missing), ("left out", gone), ("noted", noted)):
            if rows.any():
                line += f"; {_tally(self.problems[rows], title)}"
        return line


def _tally(problems: pd.DataFrame, title: str) -> str:
    kinds = Counter(problems["kind"])
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{len(problems)} {title}" + ("" if set(kinds) == {title} else f" ({listed})")


def audit(root: str | Path, name: str, jobs: int | None = None) -> Audit:
    """Compare a corpus with the published counts, and list what is wrong with its files.

    Parameters
    ----------
    root, name, jobs
        As for :func:`~ctl_helpers.corpora.load_manifest`.

    Returns
    -------
    Audit
        Left out are files that are extra, duplicate, misplaced beside a copy in its place,
        unreadable, empty, silent, nan, short. Noted but kept are those that are misplaced without
        another copy, duplicate in sound under another name, clipped, stereo, long (to be cropped).

    Raises
    ------
    StudyError
        As :func:`~ctl_helpers.corpora.load_manifest`.
    """
    result = survey(root, name, jobs)
    entry = CATALOGUE.get(result.corpus)
    if entry is not None and is_miniature(result.folder):
        entry = None
    problems = result.problems + _notes(result)
    if entry is not None:
        problems += _missing(result, entry)
    utterances = result.utterances
    emotions = _beside(utterances["emotion"], entry.emotions if entry else {})
    speakers = _beside(utterances["speaker"], entry.speaker_counts if entry else {})
    sexes = utterances.groupby("speaker")["sex"].first()
    if entry:
        sexes = pd.Series(entry.speakers).combine_first(sexes)
    speakers.insert(0, "sex", sexes.reindex(speakers.index))
    return Audit(
        corpus=result.corpus,
        found=len(utterances),
        expected=entry.size if entry else None,
        counts=emotions,
        speakers=speakers,
        problems=pd.DataFrame(problems, columns=["path", "kind", "reason", "left_out"]),
        folder=result.folder,
    )


def _beside(labels: pd.Series, published: dict[str, int]) -> pd.DataFrame:
    """Set counts beside those published (missing values where nothing was)."""
    found = Counter(labels)
    index = pd.Index(sorted(found.keys() | published.keys()), name=labels.name)
    return pd.DataFrame(
        {
            "found": [found[label] for label in index],
            "published": pd.array([published.get(label) for label in index], dtype="Int64"),
        },
        index=index,
    )


def _notes(result: Survey) -> list[dict]:
    """Note what is worth knowing of utterances that are kept."""
    longest = signal_length(result.corpus) / RATE
    first, notes = {}, []
    for row in result.utterances.itertuples():
        found = []
        if row.misplaced:
            found.append(("misplaced", row.misplaced))
        if (same := first.setdefault(row.digest, row.file)) != row.file:
            found.append(("duplicate", f"the same sound as {same}"))
        if row.clipped:
            found.append(("clipped", "three samples or more in a row at full scale"))
        if row.channels > 1:
            found.append(("stereo", f"{row.channels} channels, averaged"))
        if row.duration > longest:
            found.append(("long", f"{row.duration:.2f} s, cropped to {longest:.2f} s"))
        notes += [
            {"path": row.file, "kind": kind, "reason": reason, "left_out": False}
            for kind, reason in found
        ]
    return notes


def _missing(result: Survey, entry: Corpus) -> list[dict]:
    """List published utterances without a file, by name where names are known, else by speaker."""
    unusable = [entry.parse(PurePosixPath(p["path"])) for p in result.problems]
    unusable = {u.utterance: u.speaker for u in unusable if isinstance(u, Labels)}
    there = dict(zip(result.utterances["utterance"], result.utterances["speaker"], strict=True))
    there = unusable | there
    if there.keys() & entry.utterances.keys():
        gaps = [(path, "no such file") for u, path in entry.utterances.items() if u not in there]
    else:
        counts = Counter(there.values())
        gaps = [
            ("", f"speaker {speaker}: {counts[speaker]} of {published} utterances")
            for speaker, published in entry.speaker_counts.items()
            for _ in range(published - counts[speaker])
        ]
    return [
        {"path": path, "kind": "missing", "reason": reason, "left_out": True}
        for path, reason in gaps
    ]
