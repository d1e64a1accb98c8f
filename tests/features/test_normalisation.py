from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.features import Features
from ctl_helpers.features.normalisation import (
    NORMALISATIONS,
    SECONDS,
    normalise,
    standardise,
    with_versions,
)


@pytest.fixture
def corpus():
    """Values of twelve utterances, three speakers, two corpora."""
    generator = np.random.default_rng(0)
    values = generator.normal(3, 5, size=(12, 7, 4)).astype(np.float32)
    manifest = pd.DataFrame(
        {
            "path": [f"{row}.wav" for row in range(12)],
            "corpus": ["a"] * 8 + ["b"] * 4,
            "speaker": ["1", "2"] * 4 + ["1"] * 4,
            "duration": 2.0,
        }
    )
    return values, manifest


@pytest.mark.parametrize(
    ("kind", "groups"),
    [
        ("utterance", [[row] for row in range(12)]),
        ("speaker", [[0, 2, 4, 6], [1, 3, 5, 7], [8, 9, 10, 11]]),
        ("corpus", [range(8), range(8, 12)]),
    ],
)
def test_normalise_by_group(corpus, kind, groups):
    values, manifest = corpus
    output = normalise(values, manifest, kind)[:]
    assert output.dtype == np.float32
    for group in groups:
        rows = values[list(group)].reshape(-1, 4).astype(float)
        expected = (values[list(group)] - rows.mean(axis=0)) / rows.std(axis=0)
        np.testing.assert_allclose(output[list(group)], expected, atol=1e-5)


def test_normalise_global_sees_the_training_part_only(corpus):
    values, manifest = corpus
    train = np.array([0, 3, 5])
    output = normalise(values, manifest, "global", train)[:]
    rows = values[train].reshape(-1, 4)
    np.testing.assert_allclose(output, (values - rows.mean(0)) / rows.std(0), atol=1e-5)
    changed = values.copy()
    changed[7] += 100
    others = np.delete(np.arange(12), 7)
    again = normalise(changed, manifest, "global", train)[:]
    np.testing.assert_array_equal(again[others], output[others])


def test_normalise_leaves_its_input_and_reads_memory_maps(corpus, tmp_path):
    values, manifest = corpus
    np.save(tmp_path / "values.npy", values)
    mapped = np.load(tmp_path / "values.npy", mmap_mode="r")
    for kind in NORMALISATIONS:
        output = normalise(mapped, manifest, kind, train=np.arange(6))[:]
        assert output.shape == values.shape and output.dtype == np.float32
        np.testing.assert_array_equal(mapped, values)
        again = normalise(values, manifest, kind, np.arange(6))[:]
        np.testing.assert_array_equal(output, again)


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_rows_are_those_of_the_whole(corpus, kind):
    values, manifest = corpus
    lazy = normalise(values, manifest, kind, np.arange(6))
    assert len(lazy) == 12
    for rows in (np.array([7, 0, 7]), slice(3, 9), np.arange(12) % 2 == 0, np.array([], int)):
        np.testing.assert_array_equal(lazy[rows], lazy[:][rows])


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_padding_is_kept_out_where_the_speech_is_known(corpus, kind):
    values, manifest = corpus
    speech = np.array([[row % 3, 7 - row % 2] for row in range(12)])
    holds = (np.arange(7) >= speech[:, :1]) & (np.arange(7) < speech[:, 1:])
    train = np.arange(6)
    output = normalise(values, manifest, kind, train, speech)[:]
    assert (output[~holds] == 0).all()
    changed = np.where(holds[:, :, None], values, 1e3).astype(np.float32)
    np.testing.assert_array_equal(normalise(changed, manifest, kind, train, speech)[:], output)
    groups = {
        "utterance": [[row] for row in range(12)],
        "speaker": [[0, 2, 4, 6], [1, 3, 5, 7], [8, 9, 10, 11]],
        "corpus": [range(8), range(8, 12)],
        "global": [train],
        "none": [],
    }
    groups |= dict.fromkeys(SECONDS, groups["speaker"][:2])  # those of the training part
    for group in map(list, groups[kind]):
        spoken = output[group][holds[group]]
        np.testing.assert_allclose(spoken.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(spoken.std(axis=0), 1, atol=1e-5)
    if kind == "none":
        np.testing.assert_array_equal(output[holds], values[holds])


def test_statistics_are_numpys_over_many_pieces():
    values = np.random.default_rng(1).normal(-400, 30, size=(600, 3, 5)).astype(np.float32)
    found = normalise(values, pd.DataFrame({"corpus": ["a"] * 600}), "corpus")
    rows = values.reshape(-1, 5).astype(float)
    np.testing.assert_allclose(found.mean[0], rows.mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(1 / found.scale[0], rows.std(axis=0), rtol=1e-6)


def test_a_constant_coefficient_stays_finite(corpus):
    values, manifest = corpus
    values[:, :, 0] = 2
    for kind in NORMALISATIONS:
        assert np.isfinite(normalise(values, manifest, kind, train=np.arange(6))[:]).all()


def with_doubles(corpus, kind):
    """Normalise, with one version of the utterances whose values are twice theirs."""
    values, manifest = corpus
    speech = np.tile([0, 7], (12, 1))
    doubled = Features(2 * values, manifest, "doubled", speech)
    plain = normalise(values, manifest, kind, np.arange(6), speech)
    return plain, with_versions(plain, [doubled], manifest)


@pytest.mark.parametrize("kind", NORMALISATIONS)
def test_versions_have_statistics_of_their_own_but_for_the_training_parts(corpus, kind):
    plain, both = with_doubles(corpus, kind)
    np.testing.assert_array_equal(both[:], plain[:])
    expected = normalise(2 * corpus[0], corpus[1], kind, np.arange(6))[:]
    if kind == "global":
        expected = (2 * corpus[0] - plain.mean[0]) * plain.scale[0]
    drawn = np.arange(8) if kind in SECONDS else np.arange(12)  # speakers of the training part
    np.testing.assert_allclose(both.versions[0][drawn], expected[drawn], atol=1e-5)


def test_utterances_are_drawn_in_any_of_their_versions(corpus):
    _, both = with_doubles(corpus, "none")
    rows = np.tile([3, 0, 11], 200)
    drawn = both.drawn(rows, np.random.default_rng(1))
    doubled = (drawn != both[rows]).any(axis=(1, 2))
    np.testing.assert_array_equal(drawn, both[rows] * np.where(doubled, 2, 1)[:, None, None])
    assert 250 < doubled.sum() < 350
    np.testing.assert_array_equal(both.drawn(rows, np.random.default_rng(1)), drawn)


def test_normalisation_mistakes(corpus):
    values, manifest = corpus
    for arguments, expected in [
        ((manifest, "zscore"), "none, utterance"),
        ((manifest, "global"), "training part"),
        ((manifest[:3], "corpus"), "12 rows, got 3"),
        ((manifest.assign(speaker=""), "speaker"), r"12 of 12 without one, as 0\.wav"),
    ]:
        with pytest.raises(StudyError, match=expected) as caught:
            normalise(values, *arguments)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["speaker", "speaker-5s", "corpus"])
def test_rows_without_features_count_nowhere(corpus, kind):
    values, manifest = corpus
    there = np.delete(np.arange(len(values)), [1, 8])
    some = values.copy()
    some[[1, 8]] = np.nan
    expected = normalise(values[there], manifest.iloc[there], kind, np.arange(5))[:]
    found = normalise(some, manifest, kind, np.arange(6), failed=[1, 8])
    np.testing.assert_array_equal(found[there], expected)


def test_a_corpus_learns_from_the_rows_it_may(corpus):
    values, manifest = corpus
    only = np.array([0, 1, 2, 3, 4, 5, 6, 7, 9])  # all of corpus a, one utterance of b
    found = normalise(values, manifest, "corpus", only=only)[:]
    plain = normalise(values, manifest, "corpus")[:]
    np.testing.assert_array_equal(found[:8], plain[:8])
    expected = (values[8:] - values[9].mean(axis=0)) / values[9].std(axis=0)
    np.testing.assert_allclose(found[8:], expected, atol=1e-4)
    # A corpus of which nothing is named learns from itself; speakers always do.
    np.testing.assert_array_equal(
        normalise(values, manifest, "corpus", only=np.arange(8))[:], plain
    )
    by_speaker = normalise(values, manifest, "speaker", only=only)[:]
    np.testing.assert_array_equal(by_speaker, normalise(values, manifest, "speaker")[:])


def test_versions_learn_from_the_rows_they_may(corpus):
    values, manifest = corpus
    doubled = Features(2 * values + 1, manifest, "doubled")
    plain = normalise(values, manifest, "corpus", only=np.array([9]))
    both = with_versions(plain, [doubled], manifest, only=np.array([9]))
    np.testing.assert_allclose(both.versions[0][:][8:], plain[:][8:], atol=1e-4)


@pytest.mark.parametrize("kind", ["global", "speaker", "corpus"])
def test_standardised_vectors(corpus, kind):
    values, manifest = corpus
    vectors = values[:, 0].copy()
    vectors[:, 1] = 0.1  # a constant, whose deviation in floating point is rounding
    train, only = np.array([0, 3, 5, 8]), np.array([0, 1, 2, 9, 10])
    found = standardise(vectors, manifest, kind, train=train, only=only)
    groups = {
        "global": [(np.arange(12), train)],
        "speaker": [(rows, rows) for rows in ([0, 2, 4, 6], [1, 3, 5, 7], [8, 9, 10, 11])],
        "corpus": [(np.arange(8), [0, 1, 2]), (np.arange(8, 12), [9, 10])],
    }
    assert found.dtype == np.float32
    for rows, learned in groups[kind]:
        mean, deviation = vectors[learned].mean(axis=0), vectors[learned].std(axis=0)
        expected = (vectors[rows] - mean) / np.where(deviation > 1e-6, deviation, np.inf)
        np.testing.assert_allclose(found[rows], expected, atol=1e-4)
    assert (found[:, 1] == 0).all()


def test_statistics_of_a_training_part_serve_other_voices(corpus):
    values, manifest = corpus
    speech = np.tile([1, 6], (12, 1))
    whole = normalise(values, manifest, "global", np.arange(6), speech)
    again = replace(whole, values=values[9:], group=np.zeros(3, int), speech=speech[9:])
    np.testing.assert_array_equal(again[:], whole[9:])


def test_a_new_voice_of_which_little_is_known():
    rng = np.random.default_rng(0)
    manifest = pd.DataFrame({"corpus": "toy", "speaker": ["a", "b"] * 20, "duration": 2.0})
    values = rng.normal(size=(40, 3)) * 4 + 7
    train = np.flatnonzero(manifest["speaker"] == "a")
    new = np.flatnonzero(manifest["speaker"] == "b")
    whole = standardise(values, manifest, "speaker", train=train)
    for kind, count in (("speaker-5s", 3), ("speaker-60s", 20)):
        found = standardise(values, manifest, kind, train=train)
        np.testing.assert_array_equal(found[train], whole[train])
        # z = (x - mean) / deviation, of which two rows say both.
        deviation = (values[new[0]] - values[new[1]]) / (found[new[0]] - found[new[1]])
        mean = values[new[0]] - deviation * found[new[0]]
        heard = [
            values[list(rows)]
            for rows in combinations(new, count)
            if np.allclose(values[list(rows)].mean(axis=0), mean, atol=1e-4)
        ]
        assert len(heard) == 1
        np.testing.assert_allclose(heard[0].std(axis=0), deviation, rtol=1e-4)
    np.testing.assert_allclose(found, whole)


def test_every_speaker_and_seed_has_a_draw_of_its_own():
    manifest = pd.DataFrame({"corpus": "toy", "speaker": np.repeat(list("abcd"), 30)})
    values = np.tile(np.arange(30.0), 4)[:, None] ** 2  # all speakers say the same
    asked = {"manifest": manifest.assign(duration=2.0), "kind": "speaker-5s", "train": np.arange(1)}
    found = [standardise(values, seed=seed, **asked)[[30, 60, 90], 0] for seed in (0, 1)]
    assert len(np.unique(found)) == 6
    np.testing.assert_array_equal(standardise(values, seed=1, **asked)[[30, 60, 90], 0], found[1])
