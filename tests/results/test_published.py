import re

import fabricated
import pytest
from conftest import SHARED

from ctl_helpers.results.published import COLUMNS, published, published_beside
from ctl_helpers.results.runs import PLACE, load_runs
from ctl_helpers.results.spaces import labelled_svm
from ctl_helpers.results.verdict import verdict
from ctl_helpers.runs.store import RunStore


def test_every_number_has_a_source_and_is_a_percentage():
    table = published()
    assert list(table.columns) == COLUMNS
    assert len(table) == 3 * 4 + 4 * 7 + 4 * 7
    assert table["citation"].str.contains("ICASSP 2023|2207.10644").all()
    assert table[["uar", "war"]].stack().between(15, 100).all()
    assert not table.duplicated(["method", *PLACE]).any()


def test_casia_is_balanced_so_uar_is_war():
    casia = published().query("corpus == 'casia'")
    assert (casia["uar"] == casia["war"]).all()


@pytest.mark.parametrize("protocol", ["transductive", "svm"])
def test_printed_means_are_the_means_of_the_pairs(protocol):
    table = published().query("protocol == @protocol")
    assert set(table["classes"]) == {"angry, fear, happy, neutral, sad"}
    for method, rows in table.groupby("method"):
        printed = rows[rows["source"] == "mean"][["uar", "war"]].to_numpy()[0]
        pairs = rows[rows["source"] != "mean"]
        assert len(pairs) == 6
        assert pairs[["uar", "war"]].mean().to_numpy() == pytest.approx(printed, abs=0.011), method


def test_the_numbers_are_those_of_the_reference():
    reference = SHARED / "REFERENCE.md"
    if not reference.is_file():
        pytest.skip("needs REFERENCE.md beside the repository")
    section = reference.read_text(encoding="utf-8").split("## 6.")[1].split("## 7.")[0]
    expected = [
        (float(uar), float(war))
        for line in section.splitlines()
        for uar, war in re.findall(r"(\d\d\.\d\d) / (\d\d\.\d\d)", line)
    ]
    table = published()
    assert list(zip(table["uar"], table["war"], strict=True)) == expected


def test_nothing_stands_beside_a_number_of_other_classes(tmp_path):
    store = RunStore(tmp_path)
    pair = {"source": "casia", "target": "ravdess", "split": "all", "protocol": "transductive"}
    five = fabricated.SHARED
    fabricated.add_run(store, method="coral", **pair)
    six = [*five, "surprise"]
    other = pair | {"source": "ravdess", "target": "casia"}
    fabricated.add_run(store, method="coral", classes=six, **other)
    fabricated.add_run(store, method="dann", labels="arousal", classes=["high", "low"], **other)
    fabricated.add_run(store, corpus="emodb", classes=five, split="fold 0", folds=10)
    found = published_beside(load_runs(store))
    assert set(found["source"]) == {"casia"} and len(found) == 4
    fabricated.add_run(store, corpus="emodb", split="fold 0", folds=10)
    fabricated.add_run(store, corpus="casia", protocol="loso", split="fold 0", of_folds=10)
    found = published_beside(load_runs(store))
    assert set(found["corpus"]) == {"", "emodb"} and len(found) == 7


def test_nothing_stands_beside_synthetic_speech_or_other_folds_than_ten(tmp_path):
    store = RunStore(tmp_path)
    released = {"corpus": "emodb", "split": "fold 0", "recipe": fabricated.recipe("released")}
    fabricated.add_run(store, folds=3, **released)
    fabricated.add_run(store, folds=10, synthetic=True, **released)
    pair = {"source": "casia", "target": "emodb", "split": "all", "protocol": "transductive"}
    fabricated.add_run(store, method="caam-mdd", synthetic=True, **pair)
    runs = load_runs(store)
    assert published_beside(runs).empty and verdict(runs).empty
    assert set(labelled_svm(store, runs, repeats=1)["reported_by"]) == {"this study"}
    fabricated.add_run(store, folds=10, **released | {"split": "fold 1"})
    runs = load_runs(store)
    assert set(published_beside(runs)["corpus"]) == {"emodb"} and len(verdict(runs)) == 2


def test_nothing_stands_beside_a_part_of_a_corpus(tmp_path):
    store = RunStore(tmp_path)
    released = {"corpus": "emodb", "folds": 10, "recipe": fabricated.recipe("released")}
    fabricated.add_run(store, split="fold 0", utterances=12, **released)  # 120 in ten folds
    runs = load_runs(store)
    assert published_beside(runs).empty and verdict(runs).empty
    fabricated.add_run(store, split="fold 1", **released)
    runs = load_runs(store)
    assert len(published_beside(runs)) and verdict(runs)["folds"].eq(1).all()


def test_printed_means_stand_beside_all_of_their_pairs_only(tmp_path):
    store, pairs = RunStore(tmp_path), published().query("protocol == 'transductive'")
    pairs = pairs[pairs["source"] != "mean"][["source", "target"]].drop_duplicates()
    for number, (source, target) in enumerate(pairs.to_numpy()):
        assert "mean" not in set(published_beside(load_runs(store))["source"])
        place = {"source": source, "target": target, "protocol": "transductive"}
        fabricated.add_run(store, split="all", method="coral", seed=number, **place)
    assert "mean" in set(published_beside(load_runs(store))["source"])
