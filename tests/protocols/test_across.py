"""Problems across corpora: who is kept, adapted to and scored."""

import numpy as np
import pytest
import soundfile
from toys import toy_corpus, toy_manifest

from ctl_helpers.corpora import load_manifest
from ctl_helpers.corpora.words import WORDS
from ctl_helpers.errors import StudyError
from ctl_helpers.protocols import problems_across

PAPER = ("angry", "fear", "happy", "neutral", "sad", "surprise")


@pytest.fixture
def manifests():
    return {
        "casia": toy_manifest(PAPER, 48, corpus="casia"),
        "emodb": toy_manifest(("angry", "boredom", "happy", "sad"), 40, 5, "emodb"),
        "ravdess": toy_manifest(("calm", *PAPER), 28, corpus="ravdess"),
        "own": toy_manifest(("happy", "sad", "surprise", "zeal"), 16, corpus="own"),
    }


def emotions(problem, rows):
    return set(problem.manifest["emotion"].iloc[rows])


def corpora(problem, rows):
    return set(problem.manifest["corpus"].iloc[rows])


def test_the_shared_emotions_of_both_are_kept_and_all_of_the_target_is_scored(manifests):
    (problem,) = problems_across(manifests, "casia", "emodb")
    assert problem.classes == ("angry", "happy", "sad") and problem.across
    assert (problem.source, problem.target, problem.corpus) == ("casia", "emodb", "")
    assert (problem.protocol, problem.split, problem.labels) == ("transductive", "all", "emotion")
    assert (corpora(problem, problem.train), corpora(problem, problem.test)) == (
        {"casia"},
        {"emodb"},
    )
    assert (len(problem.train), len(problem.test), problem.of_utterances) == (24, 30, 30)
    np.testing.assert_array_equal(problem.adapt, problem.test)
    assert len(problem.manifest) == 54 and problem.held_out
    assert problem.samples == 96_000  # whatever the lengths of the corpora


def test_the_five_emotions_of_the_paper_between_its_corpora_unless_all_shared_are_wanted(manifests):
    (paper,) = problems_across(manifests, "casia", "ravdess")
    (shared,) = problems_across(manifests, "casia", "ravdess", labels="shared")
    assert paper.classes == ("angry", "fear", "happy", "neutral", "sad")
    assert shared.classes == (*paper.classes, "surprise")
    (outside,) = problems_across(manifests, "casia", "own")  # not one of its corpora
    assert outside.classes == ("happy", "sad", "surprise")


def test_classes_of_ones_own_count_between_the_papers_corpora_too(caplog):
    words = {
        "casia": ("bad", "fear", "good", "surprise"),
        "emodb": ("bad", "boredom", "fear", "good"),
    }
    manifests = {name: toy_manifest(of, 20, 5, name) for name, of in words.items()}
    (problem,) = problems_across(manifests, "casia", "emodb")
    assert set(problem.classes) == {"bad", "fear", "good"} and not caplog.messages
    manifests["emodb"] = toy_manifest(("awful", "fear", "good"), 20, 5, "emodb")
    (problem,) = problems_across(manifests, "casia", "emodb")
    assert set(problem.classes) == {"fear", "good"}
    said = "pair casia:emodb: awful, bad left out, which not every corpus has"
    assert caplog.messages == [said]


def test_several_sources_teach_what_all_have_and_each_is_a_corpus_of_its_own(manifests):
    (problem,) = problems_across(manifests, "casia+emodb", "ravdess")
    assert problem.classes == ("angry", "happy", "sad") and problem.source == "casia+emodb"
    assert corpora(problem, problem.train) == {"casia", "emodb"}
    assert corpora(problem, problem.test) == {"ravdess"}
    assert len(problem.train) == 24 + 30


@pytest.mark.parametrize(
    ("labels", "halves"),
    [
        ("arousal", {"angry": "high", "happy": "high", "boredom": "low", "sad": "low"}),
        (
            "valence",
            {"angry": "negative", "happy": "positive", "boredom": "negative", "sad": "negative"},
        ),
    ],
)
def test_arousal_and_valence_keep_every_emotion(manifests, labels, halves):
    (problem,) = problems_across(manifests, "casia", "emodb", labels=labels)
    assert len(problem.test) == len(manifests["emodb"]) and problem.labels == labels
    found = problem.manifest["emotion"].iloc[problem.test]
    assert dict(zip(manifests["emodb"]["emotion"], found, strict=True)) == halves
    assert len(problem.train) == len(manifests["casia"])
    assert set(problem.classes) == set(halves.values())


@pytest.mark.parametrize("labels", ["arousal", "valence"])
def test_every_emotion_that_is_known_is_in_a_half(labels, caplog):
    count = 2 * len(WORDS)
    one, other = (toy_manifest(tuple(WORDS), count, corpus=name) for name in ("one", "other"))
    (problem,) = problems_across({"one": one, "other": other}, "one", "other", labels=labels)
    assert len(problem.test) == count and len(problem.classes) == 2 and not caplog.records


def test_a_half_is_in_itself_and_what_is_in_none_is_named(caplog):
    one = toy_manifest(("positive", "negative", "zeal"), 24, corpus="one")
    other = toy_manifest(("happy", "sad"), 24, corpus="other")
    (problem,) = problems_across({"one": one, "other": other}, "one", "other", labels="valence")
    assert set(problem.classes) == {"negative", "positive"} and len(problem.train) == 16
    (line,) = caplog.messages
    assert line.startswith("one: 8 utterances (zeal) are in no half of valence, and left out")


def test_inductive_halves_of_the_speakers_score_each_other(manifests):
    seen = set()
    for seed in range(8):
        first, second = problems_across(manifests, "casia", "emodb", "inductive", seed=seed)
        assert [first.split, second.split] == ["half 0", "half 1"] and first.of_folds == 2
        assert first.division == seed
        speakers = first.manifest["speaker"].to_numpy()
        assert not set(speakers[first.adapt]) & set(speakers[first.test])
        assert sorted([*first.adapt, *first.test]) == list(range(24, 54))
        np.testing.assert_array_equal(second.adapt, first.test)
        np.testing.assert_array_equal(second.test, first.adapt)
        seen.add(frozenset(speakers[first.adapt]))
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("source", "target", "scoring", "expected"),
    [
        ("casia", "casia", "transductive", "expected two corpora, got 'casia' as source and"),
        ("casia+own", "own", "transductive", "expected two corpora, got 'own'"),
        ("own", "calm", "transductive", "shared emotions found: none"),
        ("own", "alone", "inductive", "at least 2 speakers, got 1"),
        ("own", "unknown", "inductive", "a speaker for every utterance"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(manifests, source, target, scoring, expected):
    manifests["calm"] = toy_manifest(("calm", "angry"), corpus="calm")
    manifests["alone"] = toy_manifest(("happy", "sad"), speakers=1, corpus="alone")
    manifests["unknown"] = toy_manifest(("happy", "sad"), corpus="unknown").assign(speaker="")
    with pytest.raises(StudyError, match=expected) as caught:
        problems_across(manifests, source, target, scoring)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", [{"scoring": "indutive"}, {"labels": "arousl"}])
def test_words_that_are_not_known_are_named(manifests, words):
    with pytest.raises(StudyError, match=r"expected one of .*, got '(indutive|arousl)'"):
        problems_across(manifests, "casia", "own", **words)


def test_a_sound_of_the_target_is_not_trained_on(tmp_path, caplog):
    for name in ("one", "two"):
        toy_corpus(tmp_path, name, utterances=8)
    signal, rate = soundfile.read(tmp_path / "one" / "000.wav")
    soundfile.write(tmp_path / "two" / "004.wav", 0.5 * signal, rate)  # also at another level
    manifests = {name: load_manifest(tmp_path, name) for name in ("one", "two")}
    for source, target, copy in (("one", "two", "000.wav"), ("two", "one", "004.wav")):
        caplog.clear()
        (problem,) = problems_across(manifests, source, target)
        names = problem.manifest["utterance"]
        assert len(problem.train) == 7 and copy not in set(names.iloc[problem.train])
        assert len(problem.test) == 8
        assert "1 utterances of" in caplog.text and "left out" in caplog.text
