import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctl_helpers.networks.augmentation import augment, cutmix, mask, mixup, noise, shift, speed
from ctl_helpers.networks.recipes import Recipe

PLAIN = Recipe("plain")
RICH = Recipe(
    "rich", shift=5, time_mask=6, frequency_mask=4, mixup=0.2, cutmix=0.5, speed=0.1, noise=0.1
)
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


class Unused:
    """A source of chance that must not be asked."""


def test_what_is_off_draws_no_numbers():
    features, labels = batch(0)
    augment(features, labels, PLAIN, Unused())
    only_shift = augment(features, labels, Recipe("old", shift=5), np.random.default_rng(3))[0]
    np.testing.assert_array_equal(only_shift, shift(features, 5, np.random.default_rng(3)))


@settings(deadline=None, max_examples=50)
@given(seeds, st.floats(0.01, 0.95), st.integers(1, 30))
def test_speed_moves_a_ramp_around_its_middle(seed, most, frames):
    middle = (frames - 1) / 2
    ramp = np.arange(frames, dtype=np.float32)[None, :, None] - np.float32(middle)
    ramp = np.tile(ramp, (8, 1, 3)) * np.float32([1, 2, 3])
    found = speed(ramp, most, np.random.default_rng(seed))
    assert found.shape == ramp.shape and found.dtype == np.float32
    np.testing.assert_allclose(found[..., 1], 2 * found[..., 0], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found + found[:, ::-1], 0, atol=1e-4)  # around the middle
    place, nearest = ramp[0, :, 0], frames // 2 + frames % 2
    for one in found[..., 0] if frames > 1 else ():
        factor = one[nearest] / place[nearest]
        assert 1 - most - 1e-4 <= factor <= 1 + most + 1e-4
        np.testing.assert_allclose(one, np.clip(factor * place, -middle, middle), atol=1e-3)


def test_speeds_differ_within_a_batch_and_go_both_ways():
    ramp = np.tile(np.arange(-10, 11, dtype=np.float32)[None, :, None], (500, 1, 1))
    factors = speed(ramp, 0.2, np.random.default_rng(0))[:, 11, 0]
    assert 0.8 <= factors.min() < 0.82 and 1.18 < factors.max() <= 1.2
    assert factors.mean() == pytest.approx(1, abs=0.02)


@settings(deadline=None, max_examples=20)
@given(seeds, st.floats(0.01, 2))
def test_noise_is_white_and_leaves_padding_alone(seed, deviation):
    features, _ = batch(seed, size=40)
    features[:, 15:] = 0
    added = noise(features, deviation, np.random.default_rng(seed)) - features
    assert added.dtype == np.float32 and not added[:, 15:].any()
    spoken = added[:, :15] / deviation
    assert spoken.std() == pytest.approx(1, abs=0.05)
    assert spoken.mean() == pytest.approx(0, abs=0.06)
    assert (spoken[:, 1:] * spoken[:, :-1]).mean() == pytest.approx(0, abs=0.06)


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


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(0, 30), st.integers(0, 12), st.integers(1, 3))
def test_masks_are_bands_at_most_so_wide(seed, frames, coefficients, count):
    features = np.ones((5, 20, 9), np.float32)
    masked = mask(features, frames, coefficients, np.random.default_rng(seed), count)
    for one in masked:
        rows, columns = (one == 0).all(axis=1), (one == 0).all(axis=0)
        if not rows.all() and not columns.all():
            # What is set to nought is whole frames and whole coefficients, and nothing else.
            np.testing.assert_array_equal(one == 0, rows[:, None] | columns[None, :])
            assert rows.sum() <= count * frames and columns.sum() <= count * coefficients
            for line in (rows, columns):
                assert (np.diff(np.r_[0, line.astype(int)]) == 1).sum() <= count
    assert set(np.unique(masked)) <= {0, 1}


def test_masks_reach_their_width_and_every_place():
    features = np.ones((4000, 20, 9), np.float32)
    masked = mask(features, 4, 0, np.random.default_rng(0), count=1)[..., 0] == 0
    assert set(masked.sum(axis=1)) == {0, 1, 2, 3, 4}
    assert masked.any(axis=0).all()


@settings(deadline=None, max_examples=50)
@given(seeds, st.floats(0.05, 4))
def test_mixup_mixes_labels_as_it_mixes_features(seed, alpha):
    features, labels = batch(seed)
    mixed, soft = mixup(features, labels, alpha, np.random.default_rng(seed))
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
    assert (soft >= 0).all() and mixed.dtype == soft.dtype == np.float32
    # A feature that tells the class is mixed in the very shares of the labels.
    told, _ = mixup(labels[:, :, None], labels, alpha, np.random.default_rng(seed))
    np.testing.assert_allclose(told[:, :, 0], soft, atol=1e-6)
    low, high = features.min(axis=0), features.max(axis=0)
    assert (mixed >= low - 1e-5).all() and (mixed <= high + 1e-5).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5, 1.0]))
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
