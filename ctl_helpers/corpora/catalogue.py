"""What is known of each corpus, and how its file names are read.

Counts per emotion are those of table S2 of the CTL-MTNet appendix (arXiv 2207.10644), signal
lengths those of the authors' TIM-Net README. EMOVO, which the paper does not
use, follows Costantini et al. (LREC 2014). Licences are short hints from public lists of corpora
(such as github.com/SuperKogito/SER-datasets); what the distributor says holds.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import PurePath

import pandas as pd

from ctl_helpers.corpora import native
from ctl_helpers.corpora.native import EMOTIONS, Labels
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
        Published number of utterances per speaker.
    utterances : dict
        Native path of each utterance by its identity, where the corpus is a full design.
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


def _ravdess_utterances() -> dict[str, str]:
    """Native path of each of the 1440 utterances."""
    stems = (
        f"03-01-{code}-{intensity}-{statement}-{repetition}-{actor}"
        for actor, code, intensity, statement, repetition in product(
            native.RAVDESS_SPEAKERS, native.RAVDESS_CODES, ("01", "02"), ("01", "02"), ("01", "02")
        )
        if (code, intensity) != ("01", "02")
    )
    return {stem: f"Actor_{stem[-2:]}/{stem}.wav" for stem in stems}


def _savee_utterances() -> dict[str, str]:
    """Native path of each of the 480 utterances."""
    texts = [f"{c}{n:02d}" for c in native.SAVEE_CODES for n in range(1, 31 if c == "n" else 16)]
    identities = (f"{speaker}/{text}" for speaker in native.SAVEE_SPEAKERS for text in texts)
    return {identity: f"AudioData/{identity}.wav" for identity in identities}


def _casia_utterances() -> dict[str, str]:
    """Native path of each of the 1200 utterances."""
    design = product(native.CASIA_SPEAKERS, native.CASIA_EMOTIONS, range(201, 251))
    identities = (f"{speaker}/{emotion}/{number}" for speaker, emotion, number in design)
    return {identity: f"{identity}.wav" for identity in identities}


def _counts(angry, boredom, calm, disgust, fear, happy, neutral, sad, surprise) -> dict[str, int]:
    """Name counts by emotion, without the emotions that a corpus does not have."""
    values = (angry, boredom, calm, disgust, fear, happy, neutral, sad, surprise)
    return {emotion: count for emotion, count in zip(EMOTIONS, values, strict=True) if count}


CATALOGUE: dict[str, Corpus] = {
    entry.name: entry
    for entry in (
        Corpus(
            name="casia",
            title="CASIA Chinese emotional speech corpus",
            language="Mandarin",
            sampling_rate=16_000,
            emotions=_counts(200, 0, 0, 0, 200, 200, 200, 200, 200),
            speakers=native.CASIA_SPEAKERS,
            samples=88_000,
            licence="terms not known here; ask the distributor",
            home_page="http://www.chineseldc.org/",
            folders=("casia",),
            example="liuchanhg/angry/201.wav",
            parse=native.parse_casia,
            speaker_counts=dict.fromkeys(native.CASIA_SPEAKERS, 300),
            utterances=_casia_utterances(),
        ),
        Corpus(
            name="emodb",
            title="Berlin Database of Emotional Speech (Emo-DB)",
            language="German",
            sampling_rate=16_000,
            emotions=_counts(127, 81, 0, 46, 69, 71, 79, 62, 0),
            speakers=native.EMODB_SPEAKERS,
            samples=96_000,
            licence="free to download; see the home page for the terms",
            home_page="http://emodb.bilderbar.info/",
            folders=("emodb", "berlin"),
            example="wav/03a01Fa.wav",
            parse=native.parse_emodb,
            speaker_counts=dict(
                zip(native.EMODB_SPEAKERS, (49, 58, 43, 38, 55, 35, 61, 69, 56, 71), strict=True)
            ),
        ),
        Corpus(
            name="savee",
            title="Surrey Audio-Visual Expressed Emotion (SAVEE)",
            language="British English",
            sampling_rate=44_100,
            emotions=_counts(60, 0, 0, 60, 60, 60, 120, 60, 60),
            speakers=native.SAVEE_SPEAKERS,
            samples=130_000,
            licence="free for research, on request; see the home page for the terms",
            home_page="http://kahlan.eps.surrey.ac.uk/savee/",
            folders=("savee", "surreyaudiovisual"),
            example="AudioData/DC/a01.wav",
            parse=native.parse_savee,
            speaker_counts=dict.fromkeys(native.SAVEE_SPEAKERS, 120),
            utterances=_savee_utterances(),
        ),
        Corpus(
            name="ravdess",
            title="Ryerson Audio-Visual Database of Emotional Speech and Song (speech, audio only)",
            language="North American English",
            sampling_rate=48_000,
            emotions=_counts(192, 0, 192, 192, 192, 192, 96, 192, 192),
            speakers=native.RAVDESS_SPEAKERS,
            samples=110_000,
            licence="CC BY-NC-SA 4.0",
            home_page="https://zenodo.org/record/1188976",
            folders=("ravdess", "audiospeechactors", "audiospeech"),
            example="Actor_01/03-01-01-01-01-01-01.wav",
            parse=native.parse_ravdess,
            speaker_counts=dict.fromkeys(native.RAVDESS_SPEAKERS, 60),
            utterances=_ravdess_utterances(),
        ),
        Corpus(
            name="emovo",
            title="EMOVO, Italian emotional speech",
            language="Italian",
            sampling_rate=48_000,
            emotions=_counts(84, 0, 0, 84, 84, 84, 84, 84, 84),
            speakers=native.EMOVO_SPEAKERS,
            samples=CROSS_CORPUS_SAMPLES,
            licence="free to download; see the home page for the terms",
            home_page="http://voice.fub.it/activities/corpora/emovo/index.html",
            folders=("emovo",),
            example="f1/dis-f1-b1.wav",
            parse=native.parse_emovo,
            speaker_counts=dict.fromkeys(native.EMOVO_SPEAKERS, 98),
        ),
    )
}
"""The five corpora that are known by name: casia, emodb, savee, ravdess, emovo."""


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
