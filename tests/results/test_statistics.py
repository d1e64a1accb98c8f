import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from ctl_helpers import scores
from ctl_helpers.errors import StudyError
from ctl_helpers.results import statistics

EMOTIONS = np.array(["angry", "happy", "neutral", "sad"])


def guesses(seed, utterances=400, accuracy=0.7):
    generator = np.random.default_rng(seed)
    truth = generator.choice(EMOTIONS, utterances, p=[0.4, 0.3, 0.2, 0.1])
    other = generator.choice(EMOTIONS, utterances)
    return truth, np.where(generator.random(utterances) < accuracy, truth, other)


labelled = st.lists(st.tuples(st.sampled_from(EMOTIONS), st.sampled_from(EMOTIONS)), min_size=1)


@settings(deadline=None)
@given(labelled)
def test_scores_against_plain_loops(pairs):
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    recalls = []
    for emotion in set(truth):
        hit = ((truth == emotion) & (predicted == emotion)).sum()
        recalls.append(hit / (truth == emotion).sum())
    found = scores.scores(truth, predicted)
    assert found["uar"] == pytest.approx(np.mean(recalls))
    assert found["war"] == pytest.approx(np.mean(truth == predicted))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_uar_is_balanced_accuracy():
    assert scores.uar(*guesses(1)) == pytest.approx(balanced_accuracy_score(*guesses(1)))


@given(labelled)
@settings(deadline=None, max_examples=30)
def test_bootstrap_holds_the_scores_it_is_about(pairs):
    truth, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    interval = statistics.bootstrap_interval(truth, predicted)
    assert interval.value == pytest.approx(scores.uar(truth, predicted))
    assert np.isnan(interval.low) or 0 <= interval.low < interval.high <= 1


def test_bootstrap_over_utterances_against_drawing_them_one_by_one():
    truth, predicted = guesses(2)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        rows = generator.integers(len(truth), size=len(truth))
        drawn.append(scores.uar(truth[rows], predicted[rows]))
    interval = statistics.bootstrap_interval(truth, predicted)
    assert interval[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.015)


def test_bootstrap_over_speakers_against_drawing_them_one_by_one():
    truth, predicted = guesses(3)
    speakers = np.random.default_rng(3).integers(12, size=len(truth)).astype(str)
    predicted = np.where(np.isin(speakers, ["0", "1", "2"]), "sad", predicted)
    rows_of = [np.flatnonzero(speakers == speaker) for speaker in np.unique(speakers)]
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(400):
        rows = np.concatenate([rows_of[i] for i in generator.integers(12, size=12)])
        drawn.append(scores.uar(truth[rows], predicted[rows]))
    over_speakers = statistics.bootstrap_interval(truth, predicted, speakers=speakers)
    over_utterances = statistics.bootstrap_interval(truth, predicted)
    assert over_speakers[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.03)
    assert over_speakers.high - over_speakers.low > over_utterances.high - over_utterances.low


def test_bootstrap_is_seeded_and_a_single_speaker_has_no_interval():
    truth, predicted = guesses(4)
    assert statistics.bootstrap_interval(truth, predicted) == statistics.bootstrap_interval(
        truth, predicted
    )
    for speakers in (1, 9):  # of few speakers a bootstrap covers much less than 95 %
        few = statistics.bootstrap_interval(
            truth, predicted, speakers=np.arange(len(truth)) % speakers
        )
        assert np.isnan(few.low) and np.isnan(few.high)


def test_mean_interval_by_the_table():
    # Student's t, 4 degrees of freedom, 97.5 %: 2.776
    values = [0.8, 0.82, 0.84, 0.86, 0.88]
    half = 2.776 * np.std(values, ddof=1) / np.sqrt(5)
    found = statistics.mean_interval(values)
    assert found == pytest.approx((0.84, 0.84 - half, 0.84 + half), abs=1e-5)


def test_an_interval_over_folds_allows_for_the_training_data_that_they_share():
    values, rho = [0.8, 0.82, 0.84, 0.86, 0.88], 0.25
    half = 2.776 * np.sqrt((1 / 5 + rho) * np.var(values, ddof=1))
    found = statistics.mean_interval(values, rho=rho)
    assert found == pytest.approx((0.84, 0.84 - half, 0.84 + half), abs=1e-5)


@pytest.mark.parametrize("values", [[0.8], [0.0, 0.333], [0.167] * 10])
def test_too_little_gives_no_interval(values):
    found = statistics.mean_interval(values)
    assert found.value == pytest.approx(np.mean(values)) and np.isnan(found[1:]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_mean_intervals_are_possible_and_hold_the_mean(values):
    found = statistics.mean_interval(values)
    assert np.isnan(found.low) or -1e-9 <= found.low <= found.value <= found.high <= 1 + 1e-9


@pytest.mark.parametrize(("hits", "total"), [(0, 5), (8, 10), (81, 81)])
def test_proportion_interval_is_wilsons(hits, total):
    from scipy.stats import binomtest

    expected = binomtest(hits, total).proportion_ci(method="wilson")
    found = statistics.proportion_interval(hits, total)
    assert found == pytest.approx((hits / total, expected.low, expected.high))
    assert np.isnan(statistics.proportion_interval(0, 0)).all()


def test_corrected_t_test_by_hand():
    # differences 1..5 (mean 3, variance 2.5), rho 1/4: t = 3 / sqrt((1/5 + 1/4) * 2.5) = 2.8284
    found = statistics.corrected_resampled_t_test(np.arange(5) + 1.0, np.zeros(5), rho=0.25)
    assert found.difference.value == 3
    assert found.p == pytest.approx(0.047421, abs=1e-6)  # R: 2 * pt(-2.828427, 4)
    assert found.difference.low == pytest.approx(3 - 2.776445 * np.sqrt(1.125), abs=1e-5)


def test_corrected_t_test_without_overlap_is_the_paired_t_test():
    from scipy.stats import ttest_rel

    first, second = np.random.default_rng(0).random((2, 10))
    found = statistics.corrected_resampled_t_test(first, second, rho=0)
    expected = ttest_rel(first, second)
    assert found.p == pytest.approx(expected.pvalue)
    ends = expected.confidence_interval()
    assert found.difference[1:] == pytest.approx((ends.low, ends.high))


@pytest.mark.parametrize("differences", [[-0.25], [0.4, 0.05], [0.1, 0.1], [0.1] * 10, [0.0] * 3])
def test_too_little_gives_no_paired_test(differences):
    zero = np.zeros(len(differences))
    found = statistics.corrected_resampled_t_test(differences, zero, rho=1 / 9)
    assert found.difference.value == pytest.approx(np.mean(differences))
    assert np.isnan([*found.difference[1:], found.p]).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=12))
def test_intervals_of_differences_are_possible(pairs):
    difference, p = statistics.corrected_resampled_t_test(*zip(*pairs, strict=True), rho=1 / 9)
    assert np.isnan(p) or -1 <= difference.low <= difference.value <= difference.high <= 1


def test_corrected_t_test_needs_the_same_folds():
    with pytest.raises(StudyError, match="the same folds of both; got 1 and 2"):
        statistics.corrected_resampled_t_test([0.5], [0.6, 0.7], rho=1 / 9)


def test_mcnemar_by_counting():
    truth = np.array(["sad"] * 20)
    first = np.array(["sad"] * 18 + ["happy"] * 2)
    second = np.array(["sad"] * 10 + ["happy"] * 8 + ["sad"] * 2)
    # 8 against 2: 2 * (1 + 10 + 45) / 1024
    assert statistics.mcnemar(truth, first, second) == pytest.approx(112 / 1024)
    assert statistics.mcnemar(truth, first, first) == 1


def frame_of(truth, probabilities, labels):
    frame = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in labels])
    return frame.assign(emotion=list(truth))


def test_calibration_by_hand():
    probabilities = [[0.95, 0.05], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]]
    ece, bins = statistics.calibration(frame_of("abba", probabilities, "ab"), bins=5)
    # bin 0.8-1.0: confidence 0.925, accuracy 0.5; bin 0.6-0.8: 0.65, 0; bin 0.4-0.6: 0.6, 1
    assert ece == pytest.approx((2 * 0.425 + 0.65 + 0.4) / 4)
    assert bins["utterances"].tolist() == [0, 0, 1, 1, 2]
    assert np.isnan(bins["accuracy"][0]) and bins["low"].tolist()[4] == pytest.approx(0.8)


def test_perfect_confidence_is_perfectly_calibrated():
    truth, _ = guesses(5)
    certain = (truth[:, None] == EMOTIONS).astype(float)
    assert statistics.calibration(frame_of(truth, certain, EMOTIONS))[0] == 0


def test_calibration_ignores_classes_of_other_corpora():
    frame = pd.DataFrame({"emotion": ["a", "b"], "p_a": [0.9, 0.9], "p_b": [0.1, 0.1]})
    frame["p_boredom"] = np.nan
    assert statistics.calibration(frame)[0] == pytest.approx(0.4)
    with pytest.raises(StudyError, match="p_<class>"):
        statistics.calibration(frame[["emotion"]])


def test_lengths_that_differ_are_named():
    with pytest.raises(StudyError, match=r"\(1,\) and \(2,\)"):
        scores.uar(["sad", "sad"], ["sad"])


def test_paired_bootstrap_against_drawing_utterances_one_by_one():
    truth, first = guesses(3, 200, 0.8)
    second = guesses(4, 200, 0.5)[1]
    found = statistics.paired_bootstrap(truth, first, second, np.arange(200))
    expected = scores.uar(truth, first) - scores.uar(truth, second)
    assert found.difference.value == pytest.approx(expected)
    generator, drawn = np.random.default_rng(0), []
    for _ in range(400):
        rows = generator.integers(200, size=200)
        drawn.append(scores.uar(truth[rows], first[rows]) - scores.uar(truth[rows], second[rows]))
    assert found.difference[1:] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)
    assert found.p < 0.01


def test_paired_bootstrap_finds_nothing_where_there_is_nothing():
    truth, first = guesses(5)
    same = statistics.paired_bootstrap(truth, first, first, np.arange(400))
    one = statistics.paired_bootstrap(["sad"], ["sad"], ["happy"], ["a"])
    for found, difference in ((same, 0), (one, 1)):
        assert found.difference.value == difference
        assert np.isnan([*found.difference[1:], found.p]).all()


def test_seeds_do_not_narrow_a_paired_bootstrap():
    truth, first = guesses(6, 100, 0.8)
    second = guesses(7, 100, 0.5)[1]
    names = np.arange(100)
    once = statistics.paired_bootstrap(truth, first, second, names)
    sides = [np.tile(side, 5) for side in (truth, first, second, names)]
    again = statistics.paired_bootstrap(*sides)
    assert (*again.difference, again.p) == pytest.approx((*once.difference, once.p))
