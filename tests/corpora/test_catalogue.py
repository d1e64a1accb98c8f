from collections import Counter
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import PUBLISHED

from ctl_helpers.corpora import CATALOGUE, EMOTIONS, LAYOUTS, emotion_named, signal_length
from ctl_helpers.corpora.words import WORDS, fold


def test_catalogue_repeats_the_published_counts():
    assert {name: entry.emotions for name, entry in CATALOGUE.items()} == PUBLISHED
    assert {name: entry.size for name, entry in CATALOGUE.items()} == {
        "casia": 1200,
        "emodb": 535,
        "savee": 480,
        "ravdess": 1440,
        "emovo": 588,
    }
    for entry in CATALOGUE.values():
        assert sum(entry.speaker_counts.values()) == entry.size
        assert entry.speaker_counts.keys() == entry.speakers.keys()
        assert not entry.published or len(entry.published) == entry.size
        assert set(entry.emotions) <= set(EMOTIONS)


def test_catalogue_knows_the_sex_of_the_speakers():
    sexes = {name: Counter(entry.speakers.values()) for name, entry in CATALOGUE.items()}
    assert sexes == {
        "casia": {"m": 2, "f": 2},
        "emodb": {"m": 5, "f": 5},
        "savee": {"m": 4},
        "ravdess": {"m": 12, "f": 12},
        "emovo": {"m": 3, "f": 3},
    }


def test_each_example_of_the_catalogue_is_parsed():
    for entry in LAYOUTS.values():
        labels = entry.parse(PurePosixPath(entry.example))
        assert labels.emotion in entry.emotions and labels.speaker in entry.speakers


def test_five_emotions_are_shared_by_the_four_corpora_of_the_paper():
    published = [CATALOGUE[name].emotions for name in ("casia", "emodb", "savee", "ravdess")]
    five = {"angry", "fear", "happy", "neutral", "sad"}
    assert set.intersection(*map(set, published)) == five
    sizes = [sum(emotions[emotion] for emotion in five) for emotions in published]
    assert sizes == [1000, 408, 360, 864]


def test_signal_lengths():
    lengths = [signal_length(name) for name in (*CATALOGUE, "mine")]
    assert lengths == [88_000, 96_000, 130_000, 110_000, 96_000, 96_000]


@given(st.text())
def test_parsers_judge_any_name(name):
    path = PurePosixPath(f"a/{name}.wav")
    for entry in LAYOUTS.values():
        labels = entry.parse(path)
        assert isinstance(labels, str) or labels.emotion in entry.emotions


@given(st.sampled_from(EMOTIONS), st.sampled_from((str.upper, str.title, str.lower)))
def test_emotions_are_known_in_any_case(emotion, case):
    assert emotion_named(f" {case(emotion)} ") == emotion


def test_no_word_means_two_emotions():
    meant = {}
    for emotion, languages in WORDS.items():
        for word in (word for words in languages.values() for word in words):
            assert meant.setdefault(fold(word), emotion) == emotion, word
    languages = {"german", "french", "italian", "spanish", "portuguese", "turkish", "polish"}
    for emotion in EMOTIONS:
        assert languages | {"chinese", "persian"} <= WORDS[emotion].keys()


@pytest.mark.parametrize(
    ("word", "emotion"),
    [
        *(("Ärger", "angry"), ("A\u0308rger", "angry"), ("tristesse", "sad"), ("paura", "fear")),
        *(("alegría", "happy"), ("TÉDIO", "boredom"), ("kızgın", "angry"), ("wstręt", "disgust")),
        *(("中性", "neutral"), ("ترس", "fear"), ("exc", "excited"), ("fru", "frustrated")),
        *(("pleasant_surprise", "surprise"), ("xxx", None), ("", None)),
    ],
)
def test_words_of_other_languages_and_codes(word, emotion):
    assert emotion_named(word) == emotion


@pytest.mark.parametrize(
    ("name", "path", "labels"),
    [
        ("tess", "YAF_pleasant_surprised/YAF_back_ps.wav", ("surprise", "YAF", "f", "back")),
        ("tess", "OA_bite_neutral.wav", ("neutral", "OAF", "f", "bite")),
        ("cremad", "1001_DFA_ANG_XX.wav", ("angry", "1001", "m", "dfa")),
        ("cremad", "AudioWAV/1002_IEO_HAP_HI.wav", ("happy", "1002", "f", "ieo")),
        ("esd", "0011/Angry/0011_000351.wav", ("angry", "0011", "m", "1")),
        ("esd", "0003/Surprise/train/0003_001750.wav", ("surprise", "0003", "f", "350")),
        ("iemocap", "exc/Ses01F_impro01_M000.wav", ("excited", "01M", "m", "impro01")),
        ("iemocap", "Ses05M_script01_1b_F011_fru.wav", ("frustrated", "05F", "f", "script01_1")),
    ],
)
def test_names_of_further_corpora(name, path, labels):
    found = LAYOUTS[name].parse(PurePosixPath(path))
    assert (found.emotion, found.speaker, found.sex, found.text, found.misplaced) == (*labels, "")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *(("tess", "OAF_back_odd.wav"), ("cremad", "1092_DFA_ANG_XX.wav")),
        *(("esd", "0011/Angry/0011_001751.wav"), ("esd", "0021_000001.wav")),
        *(("iemocap", "xxx/Ses01F_impro01_F000.wav"), ("iemocap", "Ses01F_impro01_F000.wav")),
    ],
)
def test_names_that_further_corpora_do_not_have(name, path):
    assert isinstance(LAYOUTS[name].parse(PurePosixPath(path)), str)


def test_counts_of_further_corpora_are_those_of_their_distributors():
    sizes = {name: LAYOUTS[name].size for name in LAYOUTS.keys() - CATALOGUE.keys()}
    assert sizes == {"tess": 2800, "cremad": 7442, "esd": 35_000, "iemocap": 7529}
    sexes = {name: Counter(LAYOUTS[name].speakers.values()) for name in sizes}
    assert sexes == {
        "tess": {"f": 2},
        "cremad": {"m": 48, "f": 43},
        "esd": {"m": 10, "f": 10},
        "iemocap": {"m": 5, "f": 5},
    }
