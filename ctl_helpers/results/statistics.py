"""Scores and their uncertainty: intervals, paired tests and calibration.

All scores are fractions between 0 and 1. UAR (unweighted average recall) is the mean of the
classes' recalls, WAR (weighted average recall) is accuracy.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ctl_helpers.errors import StudyError
from ctl_helpers.scores import as_labels

ENDS = (0.025, 0.975)
"""Quantiles between which 95 % lie: all intervals are of that coverage."""
FEWEST = 3
"""Folds or seeds below which no interval is given."""
FEWEST_SPEAKERS = 10
"""Speakers below which none is given over them: of four, a bootstrap would cover about 80 %."""
_RESAMPLES = 2000


class Interval(NamedTuple):
    """A score and the two ends of its interval; the ends are NaN where they cannot be known."""

    value: float
    low: float = np.nan
    high: float = np.nan

    def columns(self, name: str, scale: float = 100) -> dict[str, float]:
        """Return the columns ``name``, ``name_low`` and ``name_high``, in percent by default."""
        ends = ("", "_low", "_high")
        return {f"{name}{end}": scale * value for end, value in zip(ends, self, strict=True)}


class PairedTest(NamedTuple):
    """Mean difference (first minus second) with its 95 % interval, and the p value."""

    difference: Interval
    p: float


def bootstrap_interval(
    truth: ArrayLike, predicted: ArrayLike, *, speakers: ArrayLike | None = None
) -> Interval:
    """Percentile bootstrap interval of UAR, over utterances or over speakers.

    Counts of the confusion matrix are resampled, not utterances one by one: the same distribution,
    at a cost that does not grow with the corpus.

    Parameters
    ----------
    truth, predicted
        Labels, shape (utterances,).
    speakers
        Who speaks each utterance, shape (utterances,). If given, whole speakers are drawn: the
        interval then says what other speakers might bring, and is as a rule wider.

    Returns
    -------
    Interval
        The score as measured and the interval; NaN ends for a single utterance, fewer than ten
        speakers, or where no resample differs from another.

    Raises
    ------
    StudyError
        For labels whose lengths differ.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Examples
    --------
    >>> bootstrap_interval(["sad"] * 8, ["sad"] * 6 + ["happy"] * 2)
    Interval(value=0.75, low=0.375, high=1.0)
    """
    truth, predicted = as_labels(truth, predicted)
    if speakers is not None and len(speakers) != len(truth):
        raise StudyError(f"expected {len(truth)} speakers, one per utterance; got {len(speakers)}")
    groups, fewest = (np.arange(len(truth)), 2) if speakers is None else (speakers, FEWEST_SPEAKERS)
    value, sample = _resampled(truth == predicted, truth, groups)
    low, high = map(float, np.quantile(sample, ENDS))
    few = len(np.unique(groups)) < fewest or np.isclose(low, high, atol=1e-12)
    return Interval(value) if few else Interval(value, low, high)


def mean_interval(
    values: ArrayLike, bounds: tuple[float, float] = (0.0, 1.0), rho: float = 0.0
) -> Interval:
    """Mean over folds or seeds with Student's t interval, allowing for shared training data.

    The variance of the mean is (1/k + rho) s^2 in place of s^2/k.

    Parameters
    ----------
    values
        A score per fold or seed, shape (k,).
    bounds
        Between which the score lies; the interval is cut off there.
    rho
        Test utterances over training utterances, for folds: 1/9 in 10-fold cross-validation.

    Returns
    -------
    Interval
        NaN ends for fewer than three values, or where all are equal: too little to tell.

    References
    ----------
    Nadeau & Bengio, Inference for the Generalization Error, Machine Learning 52, 2003, section 5.

    Examples
    --------
    >>> mean_interval([0.0, 0.5, 1.0])
    Interval(value=0.5, low=0.0, high=1.0)
    """
    values = np.asarray(values, float)
    mean = float(values.mean())
    if len(values) < FEWEST or np.ptp(values) < 1e-12:
        return Interval(mean)
    ends = stats.t.ppf(ENDS, len(values) - 1, mean, _error(values, rho)).clip(*bounds)
    return Interval(mean, *map(float, ends))


def _error(values: np.ndarray, rho: float) -> float:
    return float(np.sqrt((1 / len(values) + rho) * values.var(ddof=1)))


def proportion_interval(hits: float, total: float) -> Interval:
    """Wilson's score interval of a proportion, such as the recall of one emotion.

    Parameters
    ----------
    hits, total
        Counts; they may be means over seeds and then need not be whole.

    Returns
    -------
    Interval
        All NaN where the total is 0.

    References
    ----------
    Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22, 1927.

    Examples
    --------
    >>> tuple(round(number, 3) for number in proportion_interval(8, 10))
    (0.8, 0.49, 0.943)
    """
    if not total:
        return Interval(np.nan)
    z, share = float(stats.norm.ppf(ENDS[1])), hits / total
    scale = 1 + z**2 / total
    middle = (share + z**2 / (2 * total)) / scale
    half = z * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))) / scale
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def corrected_resampled_t_test(first: ArrayLike, second: ArrayLike, rho: float) -> PairedTest:
    """Compare two methods on the same folds, allowing for the training data that folds share.

    Parameters
    ----------
    first, second
        A score per fold of either method, in the same order, shape (k,).
    rho
        As for `mean_interval`.

    Returns
    -------
    PairedTest
        The interval is cut off at -1 and 1. All but the difference is NaN for fewer than three
        folds, or where it is the same in all: too little to tell.

    Raises
    ------
    StudyError
        For unequal numbers of folds, or none.

    References
    ----------
    Nadeau & Bengio, Inference for the Generalization Error, Machine Learning 52, 2003, section 5.

    Examples
    --------
    >>> round(corrected_resampled_t_test([0.9, 0.8, 0.85], [0.8, 0.75, 0.8], rho=0.5).p, 3)
    0.127
    """
    if len(first) != len(second) or not len(first):
        raise StudyError(f"expected the same folds of both; got {len(first)} and {len(second)}")
    differences = np.subtract(first, second)
    interval = mean_interval(differences, (-1, 1), rho)
    if np.isnan(interval.low):
        return PairedTest(interval, np.nan)
    t = abs(interval.value) / _error(differences, rho)
    return PairedTest(interval, 2 * float(stats.t.sf(t, len(differences) - 1)))


def mcnemar(truth: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """McNemar's exact test: do two methods err on different numbers of the same utterances.

    Parameters
    ----------
    truth, first, second
        True labels and both methods' predictions, shape (utterances,).

    Returns
    -------
    float
        Two-sided exact binomial p value; 1 where the methods never differ.

    References
    ----------
    McNemar, Note on the sampling error of the difference between correlated proportions,
    Psychometrika 12, 1947.

    Examples
    --------
    >>> mcnemar(["sad"] * 6, ["sad"] * 6, ["happy"] * 6)
    0.03125
    """
    first, second = (np.equal(*as_labels(truth, side)) for side in (first, second))
    differing = int((first != second).sum())
    hits = int((first & ~second).sum())
    return float(stats.binomtest(hits, differing).pvalue) if differing else 1.0


def paired_bootstrap(
    truth: ArrayLike, first: ArrayLike, second: ArrayLike, groups: ArrayLike
) -> PairedTest:
    """Compare the UAR of two methods on the same utterances, which are drawn again and again.

    Parameters
    ----------
    truth, first, second
        True labels and both methods' predictions, shape (predictions,).
    groups
        What is drawn as a whole, shape (predictions,): names of utterances, where each was
        predicted under several seeds, or of speakers.

    Returns
    -------
    PairedTest
        p is two-sided, twice the smaller share of resamples on either side of
        no difference. All but the difference is NaN for a single group, or where no resample
        differs from another.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 15.

    Examples
    --------
    >>> paired_bootstrap(["sad"] * 8, ["sad"] * 8, ["sad"] * 6 + ["happy"] * 2, range(8)).difference
    Interval(value=0.25, low=0.0, high=0.625)
    """
    truth, first = as_labels(truth, first)
    truth, second = as_labels(truth, second)
    gained = (first == truth).astype(float) - (second == truth)
    difference, sample = _resampled(gained, truth, np.asarray(groups))
    low, high = map(float, np.quantile(sample, ENDS))
    if np.isclose(low, high, atol=1e-12):
        return PairedTest(Interval(difference), np.nan)
    fewer = min((sample <= 0).sum(), (sample >= 0).sum()) + 1
    return PairedTest(Interval(difference, low, high), float(min(1, 2 * fewer / (_RESAMPLES + 1))))


def _resampled(
    values: np.ndarray, classes: np.ndarray, groups: np.ndarray
) -> tuple[float, np.ndarray]:
    """Mean over classes of the mean value of each, as measured and for groups drawn again."""
    group = np.unique(groups, return_inverse=True)[1]
    of_class = np.unique(classes, return_inverse=True)[1]
    sums = np.zeros((group.max() + 1, 2, of_class.max() + 1))  # values and counts of each class
    np.add.at(sums, (group, 0, of_class), values)
    np.add.at(sums, (group, 1, of_class), 1.0)
    # Groups that are alike are drawn together: hundreds of utterances are but a few kinds.
    kinds, times = np.unique(sums.reshape(len(sums), -1), axis=0, return_counts=True)
    generator = np.random.default_rng(0)
    drawn = generator.multinomial(len(sums), times / len(sums), size=_RESAMPLES)
    total = np.vstack([times, drawn]) @ kinds
    value, count = np.split(total, 2, axis=1)
    means = (value / np.maximum(count, 1)).sum(axis=1) / (count > 0).sum(axis=1)
    return float(means[0]), means[1:]


def calibration(predictions: pd.DataFrame, bins: int = 10) -> tuple[float, pd.DataFrame]:
    """Measure the expected calibration error of the winning class, over bins of equal width.

    Parameters
    ----------
    predictions
        Columns emotion and p_<class>; classes of other runs, whose values are NaN, do not count.
    bins
        Number of bins between 0 and 1; an edge belongs to the bin below it.

    Returns
    -------
    ece : float
        Expected calibration error, a fraction.
    table : pandas.DataFrame
        A row per bin: low, high, confidence, accuracy (NaN in empty bins), utterances.

    Raises
    ------
    StudyError
        If there is no column of probabilities.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    probabilities = predictions.filter(regex="^p_").dropna(axis="columns")
    if probabilities.empty:
        raise StudyError("expected predictions with a column p_<class> per class; got none")
    right = predictions["emotion"] == probabilities.idxmax(axis=1).str.removeprefix("p_")
    table = pd.DataFrame({"confidence": probabilities.max(axis=1), "accuracy": right.astype(float)})
    edges = np.linspace(0, 1, bins + 1)
    where = np.searchsorted(edges, table["confidence"], side="left").clip(1, bins) - 1
    table = table.groupby(where).mean().reindex(range(bins))
    table["utterances"] = np.bincount(where, minlength=bins)
    apart = (table["accuracy"] - table["confidence"]).abs()
    ece = float((table["utterances"] * apart).sum() / len(predictions))
    return ece, table.assign(low=edges[:-1], high=edges[1:])
