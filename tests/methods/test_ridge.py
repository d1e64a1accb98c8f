import numpy as np
from scipy.special import softmax

from ctl_helpers.methods.ridge import WeightedRidge
from ctl_helpers.methods.shallow import CLASSIFIERS


def test_aligned_ridge_follows_a_target_whose_speech_lies_elsewhere():
    def errors(classifier):
        found = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            centres, y = 3 * rng.normal(size=(3, 8)), np.arange(90) % 3
            source, target = (centres[y] + rng.normal(size=(90, 8)) for _ in range(2))
            target = target + 2 * rng.normal(size=8)
            model = WeightedRidge(**CLASSIFIERS[classifier]).fit(source, y, target)
            found.append((model.predict_proba(target).argmax(axis=1) != y).mean())
        return np.mean(found)

    assert errors("ridge") > 0.05
    assert errors("aligned-ridge") < errors("ridge") / 5


def test_aligned_ridge_is_the_least_of_errors_and_distances_between_means():
    rng = np.random.default_rng(1)
    y, alpha, strength = np.arange(60) % 3, 0.5, 7.0
    source, target = rng.normal(size=(60, 4)) + y[:, None], rng.normal(size=(40, 4)) + 1
    guesses = WeightedRidge(alpha, 2.0).fit(source, y).predict_proba(target)
    model = WeightedRidge(alpha, 2.0, strength, rounds=1).fit(source, y, target)

    x, labels = np.concatenate([source, target]), np.eye(3)[y]
    emotions = np.concatenate([labels, guesses])
    between = within = 0.0
    for share in emotions.T:
        mean = np.average(x, axis=0, weights=share)
        between += share.sum() * (mean - x.mean(axis=0)) ** 2
        within += share @ (x - mean) ** 2
    x *= np.sqrt(between / within)
    squared = ((x[:, None] - x[None]) ** 2).sum(axis=-1)
    kernel = np.exp(-squared / squared.mean())
    # Rows whose squares are the loss: each error, each distance between means, and the penalty.
    sides = np.column_stack([np.ones(100), emotions]).T
    here, there = sides[:, :60], sides[:, 60:]
    sizes, others = (side.sum(axis=1, keepdims=True) for side in (here, there))
    weights = np.sqrt(strength * sizes * others / (sizes + others))
    rows = [kernel[:60], weights * np.hstack([here / sizes, -there / others]) @ kernel]
    rows.append(np.sqrt(alpha) * np.linalg.cholesky(kernel + 1e-10 * np.eye(100)).T)
    wanted = np.zeros((60 + 4 + 100, 3))
    wanted[:60] = labels - labels.mean(axis=0)
    weights = np.linalg.lstsq(np.concatenate(rows), wanted, rcond=None)[0]
    shares = kernel[60:] @ weights + labels.mean(axis=0)
    found = model.predict_proba(target)
    np.testing.assert_allclose(found, softmax(2 * shares, axis=1), atol=1e-5)
    assert np.abs(found - guesses).max() > 0.01
