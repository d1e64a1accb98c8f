"""Summaries by hand."""

from itertools import product

import fabricated
import numpy as np
import pytest

from ctl_helpers import scores
from ctl_helpers.results.runs import load_predictions, load_runs
from ctl_helpers.results.statistics import bootstrap_interval
from ctl_helpers.results.summaries import costs, summary
from ctl_helpers.runs.store import RunStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), seeds=(0, 1))


def pick(frame, **values):
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def test_summary_by_hand(store):
    runs = load_runs(store)
    predictions = load_predictions(store, runs)
    table = summary(runs, predictions)
    condition = {"corpus": "emodb", "protocol": "kfold", "recipe": "modern"}
    (row,) = pick(table, **condition).to_dict("records")
    mine = pick(runs, **condition)
    folds = [mine[mine["split"] == f"fold {fold}"]["uar"].mean() for fold in range(10)]
    rho = (mine["utterances"] / mine["train_utterances"]).mean()  # folds share training data
    half = 2.262157 * np.std(folds, ddof=1) * np.sqrt(1 / 10 + rho)  # t, 9 degrees of freedom
    assert row["uar"] == pytest.approx(np.mean(folds))
    expected = (np.mean(folds) - half, min(1, np.mean(folds) + half))
    assert (row["uar_low"], row["uar_high"]) == pytest.approx(expected, abs=1e-6)
    assert (row["folds"], row["seeds"], row["runs"], row["utterances"]) == (10, 2, 20, 540)
    pooled = [
        scores.uar(part["emotion"], part["predicted"])
        for _, part in predictions[predictions["run"].isin(mine["run"])].groupby("seed")
    ]
    assert row["pooled_uar"] == pytest.approx(np.mean(pooled))
    assert row["pooled_uar_low"] < row["pooled_uar"] < row["pooled_uar_high"]
    (loso,) = pick(table, **condition | {"protocol": "loso"}).to_dict("records")
    mine = pick(runs, **condition | {"protocol": "loso"})
    of_loso = predictions[predictions["run"].isin(mine["run"])]
    over_speakers = bootstrap_interval(
        of_loso["emotion"], of_loso["predicted"], speakers=of_loso["speaker"]
    )
    ends = (loso["pooled_uar_low"], loso["pooled_uar_high"])
    assert (loso["pooled_uar"], *ends) == pytest.approx(over_speakers)
    assert not row["optimistic"]


def test_halves_of_a_target_are_averaged_within_each_seed(tmp_path):
    store = RunStore(tmp_path)
    place = {"source": "casia", "target": "emodb", "protocol": "inductive"}
    for seed, half in product(range(3), range(2)):
        common = {**place, "method": "coral", "recipe": fabricated.recipe("modern")}
        # Each seed divides the target anew.
        fabricated.add_run(store, split=f"half {half}", seed=seed, division=seed, **common)
    runs = load_runs(tmp_path)
    (row,) = summary(runs).to_dict("records")
    each = [runs.loc[runs["seed"] == seed, "uar"].mean() for seed in range(3)]
    half = 4.302653 * np.std(each, ddof=1) / np.sqrt(3)  # t(0.975, 2)
    assert (row["folds"], row["seeds"]) == (2, 3)
    expected = (np.mean(each), np.mean(each) - half, min(1, np.mean(each) + half))
    assert (row["uar"], row["uar_low"], row["uar_high"]) == pytest.approx(expected)


def test_intervals_are_never_impossible(tmp_path):
    store = RunStore(tmp_path)
    for fold, accuracy in enumerate((0.0, 1.5, 1.5, 1.5)):
        run = {"corpus": "emodb", "split": f"fold {fold}", "folds": 4, "utterances": 20}
        fabricated.add_run(store, accuracy=accuracy, **run)
    runs = load_runs(store)
    table = summary(runs, load_predictions(store, runs)).iloc[0]
    ends = [c for c in table.index if c.endswith(("_low", "_high"))]
    assert table[ends].between(0, 1).all() and table["uar_high"] == 1
    two = runs[runs["split"].isin(("fold 0", "fold 1"))]
    row = summary(two, load_predictions(store, two)).iloc[0]
    assert np.isnan(row["uar_low"]) and np.isnan(row["uar_high"])
    assert (row["folds"], row["of_folds"]) == (2, 4)
    assert 0 <= row["pooled_uar_low"] < row["pooled_uar_high"] <= 1


def test_summary_marks_the_optimistic_and_needs_no_predictions(store):
    table = summary(load_runs(store))
    assert set(table.loc[table["optimistic"], "selection"]) == {"best_test"}
    assert (table["optimistic"].sum(), table["pooled_uar"].notna().sum()) == (2, 0)
    pair = pick(table, method="caam-mdd", source="casia").iloc[0]
    assert (pair["folds"], pair["seeds"], pair["utterances"]) == (1, 3, 54)
    assert pair["uar_low"] < pair["uar"] < pair["uar_high"]


def test_recipes_that_differ_under_one_name_are_not_mixed(tmp_path):
    store = RunStore(tmp_path)
    for epochs in (30, 60):
        changed = fabricated.recipe("released") | {"epochs": epochs}
        fabricated.add_run(store, split="fold 0", corpus="emodb", recipe=changed)
    fabricated.add_run(store, split="fold 0", corpus="emodb", recipe=changed, division=1)
    table = summary(load_runs(store))
    assert len(table) == 3 and table["variant"].nunique() == 3


def test_label_sets_are_conditions_of_their_own(tmp_path):
    store, place = RunStore(tmp_path), {"source": "casia", "target": "emodb", "split": "all"}
    place |= {"protocol": "transductive", "method": "coral", "recipe": fabricated.recipe("x")}
    fabricated.add_run(store, **place)
    fabricated.add_run(store, labels="arousal", classes=["high", "low"], **place)
    assert summary(load_runs(store))["labels"].tolist() == ["arousal", "emotion"]


def test_costs_by_hand(store):
    runs = load_runs(store)
    table = costs(runs).set_index("--methods")
    assert list(table["core_hours"]) == sorted(table["core_hours"], reverse=True)
    once = runs[runs["kind"] != "fusion"].drop_duplicates("run")
    assert table["runs"].sum() == len(once)
    assert table["core_hours"].sum() == pytest.approx(once["seconds"].sum() / 3600)
    mine = once[(once["method"] == "cpac") & (once["recipe"] == "modern")]["seconds"]
    row = table.loc["cpac/modern"]
    assert (row["runs"], row["seconds_of_a_run"]) == (len(mine), np.median(mine))
    assert not any(name.endswith("/") for name in table.index)
