import errno
from pathlib import Path

import fabricated
import numpy as np
import pandas as pd
import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.report import tables
from ctl_helpers.report.markup import DAGGER
from ctl_helpers.results import runs as results
from ctl_helpers.results import statistics
from ctl_helpers.results.naming import part_of
from ctl_helpers.results.published import published


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=4, seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(store):
    return results.load_runs(store)


@pytest.fixture(scope="module")
def predictions(store, runs):
    return results.load_predictions(store, runs)


def test_ours_stand_after_the_published_of_the_same_corpus(runs, predictions):
    table = tables.ours_beside_published(runs, "cpac", predictions)
    assert list(table["corpus"].unique()) == ["casia", "emodb"]
    kfold = table[(table["corpus"] == "emodb") & (table["protocol"] == "kfold")]
    assert kfold["reported_by"].tolist() == ["Ye et al. 2023"] * 3 + ["this study"] * 3
    assert kfold.iloc[1]["uar"] == 86.92
    mine = runs[(runs["corpus"] == "emodb") & (runs["recipe"] == "modern")]
    mine = mine[mine["protocol"] == "kfold"]
    ours = kfold[kfold["recipe"] == "modern"].iloc[0]
    assert ours["uar"] == pytest.approx(100 * mine["uar"].mean())
    assert ours["uar_low"] < ours["uar"] < ours["uar_high"]
    assert (ours["utterances"], ours["folds"], ours["seeds"]) == (4 * 54, 4, 2)


def test_transfer_table_has_only_the_pairs_that_ran(runs):
    table = tables.ours_beside_published(runs, "transfer")
    pairs = set(zip(table["source"], table["target"], strict=True))
    assert pairs == {("casia", "emodb"), ("emodb", "casia")}
    wide = tables.side_by_side(table)
    assert {"CASIA → EmoDB", "EmoDB → CASIA"} <= set(wide.columns)
    assert len(wide) == 4 + 3


def test_without_runs_all_the_published_are_shown(runs):
    table = tables.ours_beside_published(runs.iloc[:0])
    assert len(table) == len(published("cpac"))
    assert "86.9 / 86.2" in tables.side_by_side(table)["EmoDB"].tolist()


def test_optimistic_rows_have_a_dagger_and_a_note(runs, tmp_path):
    table = tables.ours_beside_published(runs)
    shown = tables.display(table)
    dagger = shown["method"].str.endswith(DAGGER)
    assert (dagger == table["optimistic"]).all() and dagger.sum() == 2
    csv, markdown, latex = tables.write_table(table, tmp_path, "single", "Single corpus", "Ours.")
    assert tables.DAGGER_NOTE in markdown.read_text() and "Ours." in markdown.read_text()
    assert "Ye et al. 2023: README of github.com" in markdown.read_text()
    assert r"\textdagger{} optimistic" in latex.read_text()
    assert pd.read_csv(csv)["optimistic"].sum() == 2


def test_csv_keeps_numbers_and_writing_twice_gives_the_same_bytes(runs, tmp_path):
    table = tables.ours_beside_published(runs)
    first = tables.write_table(table, tmp_path / "a", "t")
    second = tables.write_table(table, tmp_path / "b", "t")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    assert np.allclose(pd.read_csv(first[0])["uar"], table["uar"], atol=1e-4)


def test_tables_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(StudyError, match="table t: cannot write to"):
        tables.write_table(pd.DataFrame({"a": [1]}), tmp_path / "file", "t")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StudyError, match="No space left on device"):
        tables.write_table(pd.DataFrame({"a": [1]}), tmp_path, "t")


def test_per_speaker_and_per_emotion_by_counting(runs, predictions):
    mine = fabricated.one_condition(runs, predictions, corpus="emodb", protocol="loso")
    speakers = tables.per_speaker(mine).set_index("speaker")
    of_03 = mine[mine["speaker"] == "03"]
    assert speakers.loc["03", "uar"] == pytest.approx(
        100 * statistics.uar(of_03["emotion"], of_03["predicted"])
    )
    assert speakers["utterances"].sum() == len(mine) and len(speakers) == 10
    emotions = tables.per_emotion(mine).set_index("emotion")
    angry, called = mine["emotion"] == "angry", mine["predicted"] == "angry"
    hits = 100 * (angry & called).sum()
    assert emotions.loc["angry", "recall"] == pytest.approx(hits / angry.sum())
    assert emotions.loc["angry", "precision"] == pytest.approx(hits / called.sum())
    assert emotions["recall"].mean() == pytest.approx(
        100 * statistics.uar(mine["emotion"], mine["predicted"])
    )


def test_seeds_do_not_narrow_an_interval(runs, predictions):
    mine = fabricated.one_condition(
        runs, predictions, corpus="emodb", recipe="modern", protocol="kfold"
    )
    one = mine[mine["seed"] == 0]
    copies = pd.concat([one, one.assign(seed=1)])
    pd.testing.assert_frame_equal(tables.per_emotion(one), tables.per_emotion(copies))
    pd.testing.assert_frame_equal(
        tables.per_speaker(one).drop(columns="utterances"),
        tables.per_speaker(copies).drop(columns="utterances"),
    )


def test_a_condition_stands_beside_the_recipe_s_own_and_is_named(tmp_path):
    store = results.RunStore(tmp_path)
    run = {"task": "cpac", "corpus": "emodb", "method": "cpac", "protocol": "loso"}
    for kind, accuracy in (("global", 0.5), ("speaker", 0.9)):
        for speaker in ("03", "08"):
            fabricated.add_run(
                *(store,),
                **{"split": f"speaker {speaker}", "accuracy": accuracy, **run},
                recipe=fabricated.recipe("modern", kind),
            )
    runs = results.load_runs(store)
    table = tables.ours_beside_published(runs, "cpac", results.load_predictions(store, runs))
    ours = table[table["reported_by"] == "this study"].set_index("normalisation")
    for kind, part in runs.groupby("normalisation"):
        assert ours.loc[kind, "uar"] == pytest.approx(100 * part["uar"].mean())
    for shown in (tables.display(table), tables.display(tables.side_by_side(table))):
        assert shown["method"].tolist()[-2:] == ["CPAC modern", "CPAC modern, per speaker"]
        assert not {"recipe", "normalisation"} & set(shown.columns)


def test_what_ran_in_part_says_so(tmp_path):
    store = results.RunStore(tmp_path)
    run = {
        "task": "cpac",
        "corpus": "emodb",
        "method": "cpac",
        "recipe": fabricated.recipe("quick"),
    }
    for protocol, split in (("kfold", "fold 0"), ("loso", "speaker 03")):
        folds = {"folds": 10} if protocol == "kfold" else {}
        fabricated.add_run(store, split=split, protocol=protocol, **folds, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    ours = table["reported_by"] == "this study"
    shown = tables.display(table[ours])
    assert shown["folds"].tolist() == ["1 of 10", "1"]
    assert shown["utterances"].tolist() == ["54 of 540"] * 2
    assert [part_of(row) for row in table[ours].to_dict("records")] == [
        "1 of 10 folds",
        "54 of 540 utterances",
    ]
    cells = tables.side_by_side(table)["EmoDB"].tolist()
    assert sum(cell.endswith("(1 of 10 folds)") for cell in cells) == 1
    assert sum(cell.endswith("(54 of 540 utterances)") for cell in cells) == 1


def test_recalls_and_confidences_by_counting(tmp_path):
    store = fabricated.fill_conditions(tmp_path)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    wide = tables.recalls(runs, predictions)
    assert len(wide) == 4 and list(wide.columns[-7:]) == fabricated.EMOTIONS["emodb"]
    mine = fabricated.one_condition(
        runs, predictions, method="egemaps+rbf", normalisation="speaker"
    )
    sad = mine[mine["emotion"] == "sad"]
    row = wide[(wide["method"] == "egemaps+rbf") & (wide["normalisation"] == "speaker")]
    assert row["sad"].item() == pytest.approx(100 * (sad["predicted"] == "sad").mean())
    sure = tables.confidences(runs, predictions)
    assert set(sure["method"]) == {"cpac"}  # those of the others are not meant as probabilities
    mine = fabricated.one_condition(runs, predictions, method="cpac", normalisation="speaker")
    row = sure[sure["normalisation"] == "speaker"]
    assert row["ece"].item() == pytest.approx(100 * statistics.calibration_of(mine).ece)
