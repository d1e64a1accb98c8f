"""What is known of each corpus (catalogue.toml), and how its file names are read."""

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path, PurePath, PurePosixPath

from ctl_helpers.corpora.words import emotion_named

RATE = 22_050
"""Rate in Hz at which signal lengths are counted."""
CROSS_CORPUS_SAMPLES = 96_000
"""Signal length (samples at 22 050 Hz) across corpora, and of corpora outside the catalogue."""


def every_path(path: str, words: Mapping[str, Iterable[str]]) -> Iterator[tuple[str, dict]]:
    """Fill the fields of a path with every combination of words, the first field the slowest."""
    names = dict.fromkeys(re.findall("{(.*?)}", path))
    for values in product(*(words[name] for name in names)):
        fields = dict(zip(names, values, strict=True))
        yield path.format(**fields), fields


def _plain(word: str) -> str:
    """Spell parts of names alike: without case, outer blanks and leading zeros."""
    return word.strip().casefold().lstrip("0")


@dataclass(frozen=True)
class Labels:
    """What a file's name and folder (or the row of a table) say about an utterance.

    Attributes
    ----------
    emotion, speaker, sex, text : str
        Labels in the words of the study; ``sex`` is "m", "f" or "".
    identity : str
        Name inside the corpus: two files with the same one are two copies of an utterance.
    misplaced : str
        Why the folder contradicts the name; "" where it does not.
    file : str
        The recording: below the corpus's folder where it can be.
    start, end : float
        Where the utterance starts and ends in it (s); NaN for the whole file.
    word : str
        What the corpus calls the emotion: a code, or a word.
    """

    emotion: str
    speaker: str = ""
    sex: str = ""
    text: str = ""
    identity: str = ""
    misplaced: str = ""
    file: str = ""
    start: float = math.nan
    end: float = math.nan
    word: str = ""


@dataclass(frozen=True)
class Corpus:
    """One entry of the catalogue.

    Attributes
    ----------
    name, title, language : str
        Short name, full title, language spoken.
    sampling_rate : int
        Rate of the recordings as distributed, in Hz.
    emotions : dict
        Published number of utterances per emotion.
    speakers : dict
        Sex ("m" or "f") per speaker.
    licence, home_page : str
        Terms of use and where the corpus is obtained.
    folders : list of str
        Names that its folder goes by (compared without case and punctuation).
    example : str
        Path of one utterance below the corpus's folder.
    rules : dict
        How its file names are read (see catalogue.toml).
    samples : int
        Length that signals are padded or cropped to, in samples at 22 050 Hz.
    study : bool
        Whether it is one of the five corpora of the study.
    """

    name: str
    title: str
    language: str
    sampling_rate: int
    emotions: dict[str, int]
    speakers: dict[str, str]
    licence: str
    home_page: str
    folders: list[str]
    example: str
    rules: dict = field(repr=False)
    samples: int = CROSS_CORPUS_SAMPLES
    study: bool = True

    @property
    def size(self) -> int:
        """Published number of utterances."""
        return sum(self.emotions.values())

    @cached_property
    def published(self) -> dict[str, str]:
        """Native path of each utterance by its identity, where all of them are known."""
        words = {name: words.split() for name, words in self.rules.get("design", {}).items()}
        (path,) = words.pop("path", [""])
        paths = every_path(path, {"speaker": self.speakers} | words)
        read = {path: self.parse(PurePosixPath(path)) for path, _ in paths if path}
        return {found.identity: p for p, found in read.items() if isinstance(found, Labels)}

    @cached_property
    def speaker_counts(self) -> dict[str, int]:
        """Published number of utterances per speaker, where they are known."""
        if each := self.rules.get("each"):
            return dict.fromkeys(self.speakers, each)
        return dict(Counter(identity.split("/")[0] for identity in self.published))

    def speaker_named(self, folder: str) -> str | None:
        """Speaker that a folder is named after."""
        match = re.fullmatch(self.rules.get("folder", "(.*)"), folder, re.IGNORECASE)
        return self._spelled.get(_plain(match[1])) if match else None

    @cached_property
    def _spelled(self) -> dict[str, str]:
        return {_plain(speaker): speaker for speaker in self.speakers}

    @property
    def label_files(self) -> str:
        """Pattern of the files that name the emotions of recordings; "" where there are none."""
        return self.rules.get("labels", {}).get("files", "")

    def emotions_in(self, texts: Iterable[str]) -> dict[str, str]:
        """Emotion codes by names of recordings, from the texts of label files."""
        lines = self.rules.get("labels", {}).get("line", "")
        return dict(pair for text in texts for pair in re.findall(lines, text, re.M))

    def parse(self, path: PurePath, emotions: Mapping[str, str] | None = None) -> Labels | str:
        """Read the name of a file.

        Parameters
        ----------
        path : PurePath
            Relative to the corpus's folder.
        emotions : mapping, optional
            As `emotions_in` gives them.

        Returns
        -------
        Labels or str
            What it says, or the reason why the file is not part of the corpus.
        """
        rules, stem = self.rules, path.stem.strip()
        match = re.fullmatch(rules["name"], stem, re.IGNORECASE | re.ASCII | re.VERBOSE)
        if match is None:
            return f"its name is not like {rules['like']}"
        parts = {group: value or "" for group, value in match.groupdict().items()}
        for pattern, reason in rules.get("refused", ()):
            if re.match(pattern, stem, re.IGNORECASE):
                return reason.format(**parts)
        if "blocks" in rules:
            block, number = divmod(int(parts["text"]) - 1, rules["blocks"])
            parts |= {"code": str(block), "text": str(number + 1)}
        parts["emotion"] = parts.get("emotion") or (emotions or {}).get(stem, "")
        folders = path.parts[:-1]
        who, word = rules.get("who", "speaker"), rules.get("code", "emotion code")
        holders = [speaker for folder in folders if (speaker := self.speaker_named(folder))]
        said = rules.get("speaker", parts.get("speaker", "")).format(**parts)
        speaker = self._spelled.get(_plain(said)) if said else (holders or [None])[-1]
        if speaker is None:
            nobody = f"none of the corpus's speakers {', '.join(self.speakers)} is in its path"
            return f"unknown {who} {said!r}" if said else rules.get("nobody", nobody)
        sorted_by = [folder for folder in folders if emotion_named(folder)]
        if codes := rules.get("codes"):
            code = parts["code"]
            emotion = codes.get(code.upper()) or codes.get(code.lower())
        else:
            word, code = "emotion", parts["emotion"] or ["", *folders[-1:], *sorted_by][-1]
            emotion = emotion_named(code)
        if emotion not in self.emotions:
            if emotions and not parts["emotion"]:
                return f"no line of {self.label_files} names its emotion"
            return f"unknown {word} {code!r}"
        misplaced = ""
        if holders and holders[-1] != speaker:
            misplaced = f"of {who} {speaker}, in the folder of {who} {holders[-1]}"
        elif sorted_by and emotion_named(sorted_by[-1]) != emotion:
            misplaced = f"named {emotion}, in the folder {sorted_by[-1]}"
        text = rules.get("text", "{text}").format(**parts).lower()
        others = [parts[part] for part in parts if part not in ("speaker", "emotion", "code")]
        identity = "/".join((speaker, emotion, *map(_plain, others)))
        sex = self.speakers[speaker]
        return Labels(emotion, speaker, sex, text, identity, misplaced, word=code)


def _corpus(name: str, women: str = "", men: str = "", **facts) -> Corpus:
    """Build an entry from its facts in catalogue.toml."""
    speakers = dict.fromkeys(women.split(), "f") | dict.fromkeys(men.split(), "m")
    return Corpus(name=name, speakers=dict(sorted(speakers.items())), **facts)


_FACTS = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))
LAYOUTS: dict[str, Corpus] = {name: _corpus(name, **facts) for name, facts in _FACTS.items()}
"""Every corpus whose file names are read: the catalogue, and tess, cremad, esd, iemocap."""

CATALOGUE: dict[str, Corpus] = {name: entry for name, entry in LAYOUTS.items() if entry.study}
"""The five corpora of the study: casia, emodb, savee, ravdess, emovo."""


def signal_length(name: str) -> int:
    """Give the samples at 22 050 Hz that signals of a corpus are padded or cropped to.

    The length published for the corpora of the catalogue; the cross-corpus length for any other.
    """
    entry = CATALOGUE.get(name.casefold())
    return entry.samples if entry else CROSS_CORPUS_SAMPLES


def samples_of(seconds: float | None) -> int | None:
    """Give the samples at 22 050 Hz of a length in seconds; None where none is asked for."""
    return None if seconds is None else round(seconds * RATE)
