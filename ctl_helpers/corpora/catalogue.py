"""What is known of each corpus (catalogue.toml), and how its file names are read."""

import tomllib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path, PurePath, PurePosixPath

import pandas as pd

from ctl_helpers.corpora import native
from ctl_helpers.corpora.native import Labels
from ctl_helpers.errors import StudyError

CROSS_CORPUS_SAMPLES = 96_000
"""Signal length (samples at 22 050 Hz) across corpora, and of corpora outside the catalogue."""


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
    samples : int
        Length that signals are padded or cropped to, in samples at 22 050 Hz.
    licence, home_page : str
        Terms of use and where the corpus is obtained.
    folders : tuple of str
        Names that its folder goes by (compared without case and punctuation).
    example : str
        Path of one utterance below the corpus's folder.
    parse : callable
        From a path relative to the corpus's folder to :class:`Labels`, or to the reason (str)
        why the file is not part of the corpus.
    speaker_counts : dict
        Published number of utterances per speaker, where they are known.
    utterances : dict
        Native path of each utterance by its identity, where all of them are known.
    """

    name: str
    title: str
    language: str
    sampling_rate: int
    emotions: dict[str, int]
    speakers: dict[str, str]
    samples: int
    licence: str
    home_page: str
    folders: tuple[str, ...]
    example: str
    parse: Callable[[PurePath], Labels | str] = field(repr=False)
    speaker_counts: dict[str, int] = field(default_factory=dict, repr=False)
    utterances: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def size(self) -> int:
        """Published number of utterances."""
        return sum(self.emotions.values())


def _ravdess_utterances(speakers: dict[str, str]) -> dict[str, str]:
    """Native path of each of the 1440 utterances."""
    two = ("01", "02")
    stems = (
        f"03-01-{code}-{intensity}-{statement}-{repetition}-{actor}"
        for actor, code, intensity, statement, repetition in product(
            speakers, native.RAVDESS_CODES, two, two, two
        )
        if (code, intensity) != ("01", "02")
    )
    return {stem: f"Actor_{stem[-2:]}/{stem}.wav" for stem in stems}


def _savee_utterances(speakers: dict[str, str]) -> dict[str, str]:
    """Native path of each of the 480 utterances."""
    texts = [f"{c}{n:02d}" for c in native.SAVEE_CODES for n in range(1, 31 if c == "n" else 16)]
    identities = (f"{speaker}/{text}" for speaker in speakers for text in texts)
    return {identity: f"AudioData/{identity}.wav" for identity in identities}


def _casia_utterances(speakers: dict[str, str]) -> dict[str, str]:
    """Native path of each of the 1200 utterances."""
    design = product(speakers, native.CASIA_EMOTIONS, range(201, 251))
    identities = (f"{speaker}/{emotion}/{number}" for speaker, emotion, number in design)
    return {identity: f"{identity}.wav" for identity in identities}


def _listed_utterances(published: str) -> dict[str, str]:
    """Native path of each utterance of a list such as ``03: a01 Fa Nc, a02 Fc``."""
    stems = []
    for line in published.strip().splitlines():
        speaker, texts = line.split(": ")
        for text, *takes in map(str.split, texts.split(", ")):
            stems += [f"{speaker}{text}{take}" for take in takes]
    return {stem: f"wav/{stem}.wav" for stem in stems}


def _corpus(name: str, facts: dict) -> Corpus:
    """Build an entry from its facts in catalogue.toml."""
    facts = {"samples": CROSS_CORPUS_SAMPLES, "men": "", "women": ""} | facts
    sexes = [("m", facts.pop("men")), ("f", facts.pop("women"))]
    sex_of = {speaker: sex for sex, speakers in sexes for speaker in speakers.split()}
    speakers = dict(sorted(sex_of.items()))
    designs = {
        "ravdess": _ravdess_utterances,
        "savee": _savee_utterances,
        "casia": _casia_utterances,
    }
    if published := facts.pop("published", ""):
        utterances = _listed_utterances(published)
    else:
        utterances = designs[name](speakers) if name in designs else {}
    each = facts.pop("each", None)
    parse = partial(getattr(native, f"parse_{name}"), speakers=speakers)
    speakers_of = (parse(PurePosixPath(path)).speaker for path in utterances.values())
    counts = dict.fromkeys(speakers, each) if each else dict(Counter(speakers_of))
    facts["folders"] = tuple(facts["folders"])
    return Corpus(
        name=name,
        speakers=speakers,
        parse=parse,
        speaker_counts=counts,
        utterances=utterances,
        **facts,
    )


_FACTS = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))
_STUDY = {name: facts.pop("study", True) for name, facts in _FACTS.items()}

LAYOUTS: dict[str, Corpus] = {name: _corpus(name, facts) for name, facts in _FACTS.items()}
"""Every corpus whose file names are read: the catalogue, and tess, cremad, esd, iemocap."""

CATALOGUE: dict[str, Corpus] = {name: entry for name, entry in LAYOUTS.items() if _STUDY[name]}
"""The five corpora of the study: casia, emodb, savee, ravdess, emovo."""


def corpus(name: str) -> Corpus:
    """Entry of the catalogue by its name, whatever its case.

    Raises
    ------
    StudyError
        If the catalogue has no such corpus.
    """
    try:
        return CATALOGUE[name.casefold()]
    except KeyError:
        raise StudyError(
            f"no corpus {name!r} in the catalogue; it has {', '.join(CATALOGUE)}"
        ) from None


def signal_length(name: str) -> int:
    """Give the samples at 22 050 Hz that signals of a corpus are padded or cropped to.

    The length published for the corpora of the catalogue; the cross-corpus length for any other.
    """
    entry = CATALOGUE.get(name.casefold())
    return entry.samples if entry else CROSS_CORPUS_SAMPLES


def shared_emotions(*corpora: str | pd.DataFrame) -> list[str]:
    """Sorted emotions that all of the corpora have.

    Parameters
    ----------
    *corpora : str or DataFrame
        Names of the catalogue, or manifests of any corpora.

    Examples
    --------
    >>> shared_emotions("casia", "emodb", "savee", "ravdess")
    ['angry', 'fear', 'happy', 'neutral', 'sad']
    """
    sets = [
        set(corpus(c).emotions if isinstance(c, str) else c["emotion"].unique()) for c in corpora
    ]
    return sorted(set.intersection(*sets)) if sets else []
