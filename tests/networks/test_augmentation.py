import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.networks.augmentation import augment, cutmix, shift
from ctl_helpers.networks.recipes import Recipe

PLAIN = Recipe("plain")
RICH = Recipe("rich", shift=5, cutmix=0.5)
seeds = st.integers(0, 2**32 - 1)


def batch(seed, size=6, frames=20, coefficients=9, classes=4):
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(size, frames, coefficients)).astype(np.float32)
    return features, np.eye(classes, dtype=np.float32)[generator.integers(classes, size=size)]


@settings(deadline=None, max_examples=30)
@given(seeds)
def test_augment_makes_new_arrays_and_the_same_for_the_same_seed(seed):
    features, labels = batch(seed)
    given_features, given_labels = features.copy(), labels.copy()
    found = [augment(features, labels, RICH, np.random.default_rng(seed)) for _ in range(2)]
    np.testing.assert_array_equal(features, given_features)
    np.testing.assert_array_equal(labels, given_labels)
    for one, other, before in zip(*found, (features, labels), strict=True):
        assert one.shape == before.shape and one.dtype == np.float32
        np.testing.assert_array_equal(one, other)


def test_a_recipe_without_augmentation_gives_what_it_was_given():
    features, labels = batch(0)
    found = augment(features, labels, PLAIN, np.random.default_rng(0))
    assert found[0] is features and found[1] is labels


def test_what_is_off_draws_no_numbers():
    features, labels = batch(0)
    augment(features, labels, PLAIN, None)
    only_shift = augment(features, labels, Recipe("old", shift=5), np.random.default_rng(3))[0]
    np.testing.assert_array_equal(only_shift, shift(features, 5, np.random.default_rng(3)))


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(1, 19))
def test_shift_keeps_the_content(seed, most):
    features, _ = batch(seed)
    for before, after in zip(
        features, shift(features, most, np.random.default_rng(seed)), strict=True
    ):
        frames = len(before)
        fits = []
        for by in range(-most, most + 1):
            kept = slice(max(0, by), frames + min(0, by))
            same = np.array_equal(after[kept], before[max(0, -by) :][: frames - abs(by)])
            edge = before[:1] if by > 0 else before[-1:]
            rest = np.delete(after, np.r_[kept], axis=0)
            fits.append(same and bool((rest == edge).all()))
        assert any(fits)


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([0.0, 0.5, 1.0]))
def test_cutmix_joins_the_beginning_of_one_to_the_end_of_another(seed, share):
    count, frames = 12, 50
    names = np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None], (count, frames, 3))
    labels = np.eye(count, dtype=np.float32)
    spliced, soft = cutmix(names, labels, share, np.random.default_rng(seed))
    assert (spliced == spliced[:, :, :1]).all()
    for row, found in enumerate(spliced[:, :, 0].astype(int)):
        joints = np.flatnonzero(np.diff(found))
        assert len(joints) <= (1 if share else 0)
        # The labels are the shares of the frames; at least a fifth stays its own.
        np.testing.assert_allclose(
            soft[row], np.bincount(found, minlength=count) / frames, atol=1e-6
        )
        assert (found == row).mean() >= 0.2
        assert len(joints) == 0 or 0.2 <= (found == row).mean() <= 0.8


def test_cutmix_takes_its_share_and_both_ends():
    names = np.broadcast_to(np.arange(1000, dtype=np.float32)[:, None, None], (1000, 20, 1))
    labels = np.zeros((1000, 2), np.float32)
    spliced, _ = cutmix(names, labels, 0.5, np.random.default_rng(0))
    taken = spliced[:, :, 0] != names[:, :, 0]
    assert taken.any(axis=1).mean() == pytest.approx(0.5, abs=0.05)
    assert taken[:, 0].mean() == pytest.approx(0.25, abs=0.05)
    assert taken[:, -1].mean() == pytest.approx(0.25, abs=0.05)
