import fabricated
import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.recipes import TRANSFER_RECIPES
from ctl_helpers.results import comparisons, statistics
from ctl_helpers.results import runs as results
from ctl_helpers.runs.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=4, seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(store):
    return results.load_runs(store)


@pytest.fixture(scope="module")
def predictions(store, runs):
    return results.load_predictions(store, runs)


def test_gap_is_best_test_minus_last(runs):
    table = comparisons.gap(runs)
    assert table[["corpus", "metric"]].to_numpy().tolist() == [
        [corpus, metric] for corpus in ("casia", "emodb") for metric in ("UAR", "WAR")
    ]
    assert np.allclose(table["best_test"] - table["last"], table["gap"])
    assert (table["gap"] > 0).all() and (table["folds"] == 4).all() and (table["runs"] == 8).all()
    assert comparisons.gap(runs[runs["recipe"] == "modern"]).empty


def test_compare_is_the_corrected_test_on_the_folds_that_both_ran(runs):
    single = runs[runs["corpus"] == "emodb"]
    (row,) = comparisons.compare(single, {"recipe": "released"}).to_dict("records")
    last = single[(single["protocol"] == "kfold") & (single["selection"] == "last")]
    means = last.groupby(["recipe", "split"])["uar"].mean().unstack("recipe")
    expected = statistics.corrected_resampled_t_test(means["modern"], means["released"], 1 / 9)
    assert (row["difference"], row["p"]) == pytest.approx(
        (100 * expected.difference.value, expected.p)
    )
    assert row["folds"] == 4


def test_compare_across_corpora_is_over_seeds_with_mcnemar(runs, predictions):
    transfer = runs[runs["source"] != ""]
    table = comparisons.compare(transfer, {"method": "source-only"}, predictions)
    assert len(table) == 4 and (table["seeds"] == 3).all()
    assert table["mcnemar_p"].between(0, 1).all()
    np.testing.assert_allclose(table["pooled_difference"], table["difference"], atol=1.5)
    assert (table["pooled_difference_low"] < table["pooled_difference"]).all()


def test_gains_are_within_a_recipe_and_a_seed_alone_has_no_test(runs, predictions, tmp_path):
    table = comparisons.gains(runs, predictions)
    transfer = runs[runs["source"] != ""]
    means = transfer.groupby(["source", "method"])["uar"].mean()
    for row in table.to_dict("records"):
        here = means[row["source"]]
        expected = 100 * (here[row["method"]] - here["source-only"])
        assert row["difference"] == pytest.approx(expected)
    # What has no source-only of its own recipe is left out, and nothing is compared across them.
    other = transfer[transfer["method"] == "caam-mdd"].assign(recipe="modern")
    more = comparisons.gains(pd.concat([runs, other], ignore_index=True), predictions)
    pd.testing.assert_frame_equal(more, table)

    (first, *_), seeds = table["method"], runs["seed"] == 0
    one = comparisons.gains(runs[seeds], predictions)
    assert one["method"].iloc[0] == first and (one["seeds"] == 1).all()
    assert one[["difference_low", "p"]].isna().all(axis=None)
    assert one[["pooled_difference_low", "pooled_p"]].notna().all(axis=None)
    assert comparisons.gains(transfer[transfer["seed"] == 0]).empty
    assert comparisons.gains(runs[runs["method"] == "caam-mdd"]).empty


def test_compare_needs_one_reference(runs):
    with pytest.raises(StudyError, match="to compare with; got none"):
        comparisons.compare(runs, {"recipe": "unheard"})
    with pytest.raises(StudyError, match=r"expected one condition .* got 3"):
        comparisons.compare(runs, {"recipe": "released", "kind": "adaptation"})


def test_methods_are_compared_with_cpac_like_with_like(tmp_path):
    store = fabricated.fill_conditions(tmp_path)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    tests = comparisons.against_cpac(runs, predictions)
    assert tests["normalisation"].tolist() == ["global", "speaker"]
    assert tests["reference"].tolist() == ["CPAC modern", "CPAC modern, per speaker"]
    means = runs.groupby(["kind", "normalisation"])["uar"].mean()
    expected = 100 * (means["shallow"] - means["network"])
    assert np.allclose(tests["difference"], expected) and (tests["mcnemar_p"] < 1).all()


def test_methods_that_know_some_seconds_of_a_speaker_have_nothing_beside_them(tmp_path):
    store = fabricated.fill_conditions(tmp_path)
    runs = results.load_runs(store)
    some = runs[runs["normalisation"].eq("speaker") & runs["kind"].eq("shallow")]
    more = pd.concat([runs, some.assign(normalisation="speaker-5s")], ignore_index=True)
    pd.testing.assert_frame_equal(comparisons.against_cpac(more), comparisons.against_cpac(runs))


def test_scores_on_different_labels_are_not_compared(tmp_path, caplog):
    store = fabricated.fill_conditions(tmp_path)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    network = set(runs.loc[runs["kind"] == "network", "run"])
    edited = predictions["run"].isin(network) & ~predictions.duplicated("run")
    other = predictions["emotion"].map(lambda emotion: "sad" if emotion != "sad" else "angry")
    predictions["emotion"] = predictions["emotion"].mask(edited, other)
    same = {"method": "egemaps+rbf", "normalisation": "global"}
    table = comparisons.compare(runs, same, predictions)
    assert table["method"].tolist() == ["egemaps+rbf"]  # under its other normalisation
    assert "cpac and egemaps+rbf: not compared, 3 labels differ" in caplog.text


def test_utterances_that_were_renamed_are_missed(tmp_path, caplog):
    store = fabricated.fill_conditions(tmp_path)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    renamed = predictions["run"].isin(runs.loc[runs["kind"] == "network", "run"])
    renamed &= predictions["utterance"].str.endswith("7.wav")
    predictions["utterance"] += renamed.map({True: ".new", False: ""})
    comparisons.compare(runs, {"method": "cpac", "normalisation": "global"}, predictions)
    lost = predictions[renamed].drop_duplicates(["utterance"])
    said = f"compared over {3 * 54 - len(lost)} of {3 * 54} utterances, whose names both have"
    assert f"egemaps+rbf and cpac: {said}" in caplog.text


def test_a_method_of_several_seeds_is_compared_by_all_of_them(tmp_path):
    store = RunStore(tmp_path)
    for fold in range(3):
        run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3}
        fabricated.add_run(store, recipe=fabricated.recipe("modern"), accuracy=0.5, **run)
        for seed, accuracy in enumerate((0.3, 0.6, 0.9)):
            other = {"recipe": fabricated.recipe("released"), "accuracy": accuracy}
            fabricated.add_run(store, seed=seed, **other, **run)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    (row,) = comparisons.compare(runs, {"recipe": "modern"}, predictions).to_dict("records")
    right = predictions.merge(runs[["run", "recipe"]])
    right["uar"] = right["emotion"].eq(right["predicted"]).astype(float)
    recalls = right.groupby(["recipe", "seed", "emotion"])["uar"].mean()
    uars = 100 * recalls.groupby(["recipe", "seed"]).mean().groupby("recipe").mean()
    assert row["pooled_difference"] == pytest.approx(uars["released"] - uars["modern"])


def test_seeds_of_some_folds_alone_weigh_nothing_in_the_comparison_over_utterances(tmp_path):
    store = RunStore(tmp_path)
    for fold in range(3):
        run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 3}
        fabricated.add_run(store, recipe=fabricated.recipe("modern"), accuracy=0.5, **run)
        for seed in range(3 if fold == 0 else 1):
            other = {"recipe": fabricated.recipe("released"), "accuracy": 0.1 + 0.8 * (fold == 0)}
            fabricated.add_run(store, seed=seed, **other, **run)
    runs = results.load_runs(store)
    found = []
    for some in (runs, runs[runs["seed"] == 0]):
        predictions = results.load_predictions(store, some)
        (row,) = comparisons.compare(some, {"recipe": "modern"}, predictions).to_dict("records")
        found.append([row["pooled_difference"], row["mcnemar_p"]])
    assert found[0] == pytest.approx(found[1])


def test_trainings_without_a_common_seed_are_not_compared(tmp_path, caplog):
    pair = {"source": "casia", "target": "emodb", "protocol": "transductive", "split": "all"}
    pair["recipe"] = fabricated.recipe("released", recipes=TRANSFER_RECIPES)
    store = RunStore(tmp_path)
    for method, seed in (("source-only", 0), ("dann", 1)):
        fabricated.add_run(store, method=method, seed=seed, **pair)
    runs = results.load_runs(store)
    assert comparisons.gains(runs, results.load_predictions(store, runs)).empty
    assert caplog.text == ""


def test_what_may_be_chance_by_either_interval_is_not_called_more():
    clear, unclear, unknown = (1.0, 3.0), (-1.0, 3.0), (np.nan, np.nan)
    cases = {
        (clear, clear): "more than chance",
        (clear, unclear): "it may be chance",
        (unclear, clear): "it may be chance",
        (unknown, clear): "it may be chance",
        (clear, unknown): "more than the choice of utterances explains; other trainings may differ",
    }
    names = ["pooled_difference_low", "pooled_difference_high", "difference_low", "difference_high"]
    for (utterances, trainings), said in cases.items():
        ends = dict(zip(names, utterances + trainings, strict=True))
        assert comparisons.how_sure(ends) == said


def test_an_utterance_that_several_splits_test_counts_once_for_mcnemar(tmp_path):
    store = RunStore(tmp_path)
    for name, accuracy in (("modern", 0.9), ("released", 0.3)):
        run = {"corpus": "emodb", "protocol": "inner:kfold", "split": "one"}
        fabricated.add_run(store, recipe=fabricated.recipe(name), accuracy=accuracy, **run)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    again = [one.assign(split="two", run=one["run"] + "x") for one in (runs, predictions)]
    both = [pd.concat(pair) for pair in zip((runs, predictions), again, strict=True)]
    once, twice = (
        comparisons.compare(some, {"recipe": "released"}, of_them)["mcnemar_p"].iloc[0]
        for some, of_them in ((runs, predictions), both)
    )
    assert twice == once < 0.01


def test_folds_are_the_same_within_one_number_of_them(tmp_path):
    store = RunStore(tmp_path)
    for folds, accuracy in ((3, 0.1), (10, 0.9)):  # a trial, and the whole
        for fold in range(folds):
            run = {"corpus": "emodb", "split": f"fold {fold}", "folds": folds}
            modern = fabricated.recipe("modern", "global")
            fabricated.add_run(store, recipe=modern, accuracy=accuracy, **run)
            if folds == 10:
                fabricated.add_run(store, method="mfcc+linear", accuracy=accuracy, **run)
    (row,) = comparisons.against_cpac(results.load_runs(store)).to_dict("records")
    assert row["folds"] == 10 and row["difference"] == pytest.approx(0)


def test_without_cpac_nothing_is_compared(runs):
    assert comparisons.against_cpac(runs[runs["source"] != ""]).empty
