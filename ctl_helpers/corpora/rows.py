"""Turn the rows of a table into utterances: one emotion, one segment, one spelling of a speaker."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ctl_helpers.corpora.catalogue import Labels
from ctl_helpers.corpora.listing import Listing
from ctl_helpers.corpora.tables import TIMES, Reading, rows_in
from ctl_helpers.corpora.words import emotion_named, fold, reason_against, uncased

_TIMES = [ours + ms for ours in TIMES for ms in ("", "_ms")]
_NOBODY = {"", "nan", "none", "null", "na", "n/a", "<na>", "nat", "unknown", "?", "-"}
_SEXES = {
    "m": "m male man mann männlich homme masculin uomo maschio hombre masculino 男 男性",
    "f": "f female woman w frau weiblich femme féminin donna femmina mujer femenino 女 女性",
}
_SEX_OF = {fold(word): sex for sex, words in _SEXES.items() for word in words.split()}


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
    rows = rows_in(place, reading, listing)
    spelled = _speakers(dict.fromkeys(row["speaker"] for row in rows), speakers, listing)
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
            sex = _SEX_OF.get(fold(row["sex"]), "")
            said = Labels(emotion, spelled[row["speaker"]], sex, texts[row["text"]])
            said = replace(said, file=path, start=segment[0], end=segment[1], word=row["emotion"])
            takes[path, segment].append(said)
    for (path, kind, what), count in unused.items():
        listing.leave_out(path, kind, what + (f" ({count} rows)" if count > 1 else ""))
    for one, rows_of_one in takes.items():
        _add_once(rows_of_one, other[one], reading.votes, listing)
    listing.note_merged(reading.labels)
    _note_sexes(rows, listing)
    return listing


def _note_sexes(rows: Iterable[Mapping[str, str]], listing: Listing) -> None:
    """Note words for sex that are not known, and speakers that rows say both of."""
    words = {row["sex"] for row in rows if fold(row["sex"]) not in _SEX_OF}
    if unknown := sorted(word for word in words if word.casefold() not in _NOBODY):
        listed = ", ".join(map(repr, unknown[:4]))
        reason = f"not known as a sex: {listed} (female, male, f and m are, among others)"
        listing.note("", "speaker", reason)
    sexes: dict[str, set[str]] = defaultdict(set)
    for part in listing.parts:
        sexes[part.speaker].add(part.sex)
    for speaker, said in sexes.items():
        if speaker and {"f", "m"} <= said:
            listing.note("", "speaker", f"speaker {speaker} is f in some rows and m in others")


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
    mine = [labels for labels in said if labels.emotion == emotion]
    known: dict[str, Any] = {"speaker": "".join(speakers)}
    for what in ("sex", "text"):
        values = list(dict.fromkeys(filter(None, (getattr(labels, what) for labels in mine))))
        if len(values) > 1:
            named = " and ".join(map(repr, values))
            listing.note(path, what, f"its rows say {named}: {values[0]!r} is taken")
        known[what] = "".join(values[:1])
    return listing.parts.append(replace(mine[0], **known))


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
        return (first if first > 0 else math.nan, math.nan)  # the same NaN: it is part of a key
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
