import errno
from pathlib import Path

import fabricated
import numpy as np
import pandas as pd
import pytest

from ctl_helpers import results, statistics, tables
from ctl_helpers.errors import StudyError
from ctl_helpers.published import published


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return fabricated.fill(tmp_path_factory.mktemp("store"), folds=4, seeds=(0, 1))


@pytest.fixture(scope="module")
def runs(store):
    return results.load_runs(store)


@pytest.fixture(scope="module")
def predictions(store, runs):
    return results.load_predictions(store, runs)


def one_condition(runs, predictions, **values):
    for column, value in values.items():
        runs = runs[runs[column] == value]
    return predictions[predictions["run"].isin(runs["run"])]


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
    dagger = shown["method"].str.endswith(tables.DAGGER)
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
    mine = one_condition(runs, predictions, corpus="emodb", protocol="loso")
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
    mine = one_condition(runs, predictions, corpus="emodb", recipe="modern", protocol="kfold")
    one = mine[mine["seed"] == 0]
    copies = pd.concat([one, one.assign(seed=1)])
    pd.testing.assert_frame_equal(tables.per_emotion(one), tables.per_emotion(copies))
    pd.testing.assert_frame_equal(
        tables.per_speaker(one).drop(columns="utterances"),
        tables.per_speaker(copies).drop(columns="utterances"),
    )


def test_gap_is_best_test_minus_last(runs):
    table = tables.gap(runs)
    assert table[["corpus", "metric"]].to_numpy().tolist() == [
        [corpus, metric] for corpus in ("casia", "emodb") for metric in ("UAR", "WAR")
    ]
    assert np.allclose(table["best_test"] - table["last"], table["gap"])
    assert (table["gap"] > 0).all() and (table["folds"] == 4).all() and (table["runs"] == 8).all()
    assert tables.gap(runs[runs["recipe"] == "modern"]).empty


def test_compare_is_the_corrected_test_on_the_folds_that_both_ran(runs):
    single = runs[(runs["task"] == "cpac") & (runs["corpus"] == "emodb")]
    (row,) = tables.compare(single, {"recipe": "released"}).to_dict("records")
    last = single[(single["protocol"] == "kfold") & (single["selection"] == "last")]
    means = last.groupby(["recipe", "split"])["uar"].mean().unstack("recipe")
    expected = statistics.corrected_resampled_t_test(means["modern"], means["released"], 1 / 9)
    assert (row["difference"], row["p"]) == pytest.approx((100 * expected[0], expected.p))
    assert row["folds"] == 4


def test_compare_across_corpora_is_over_seeds_with_mcnemar(runs, predictions):
    transfer = runs[runs["task"] == "transfer"]
    table = tables.compare(transfer, {"method": "source-only"}, predictions)
    assert len(table) == 4 and (table["seeds"] == 3).all()
    assert table["mcnemar_p"].between(0, 1).all()
    np.testing.assert_allclose(table["pooled_difference"], table["difference"], atol=1.5)
    assert (table["pooled_difference_low"] < table["pooled_difference"]).all()


def test_gains_are_within_a_recipe_and_a_seed_alone_has_no_test(runs, predictions, tmp_path):
    table = tables.gains(runs, predictions)
    transfer = runs[runs["task"] == "transfer"]
    means = transfer.groupby(["source", "method"])["uar"].mean()
    for row in table.to_dict("records"):
        here = means[row["source"]]
        expected = 100 * (here[row["method"]] - here["source-only"])
        assert row["difference"] == pytest.approx(expected)
    # What has no source-only of its own recipe is left out, and nothing is compared across them.
    other = transfer[transfer["method"] == "caam-mdd"].assign(recipe="modern")
    more = tables.gains(pd.concat([runs, other], ignore_index=True), predictions)
    pd.testing.assert_frame_equal(more, table)

    (first, *_), seeds = table["method"], runs["seed"] == 0
    one = tables.gains(runs[seeds], predictions)
    assert one["method"].iloc[0] == first and (one["seeds"] == 1).all()
    assert one[["difference_low", "p"]].isna().all(axis=None)
    assert one[["pooled_difference_low", "pooled_p"]].notna().all(axis=None)
    assert tables.gains(transfer[transfer["seed"] == 0]).empty
    assert tables.gains(runs[runs["method"] == "caam-mdd"]).empty


def test_compare_needs_one_reference(runs):
    with pytest.raises(StudyError, match="to compare with; got none"):
        tables.compare(runs, {"recipe": "unheard"})
    with pytest.raises(StudyError, match=r"expected one condition .* got 3"):
        tables.compare(runs, {"recipe": "released", "task": "transfer"})


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


@pytest.mark.parametrize(
    ("method", "recipe", "normalisation", "expected"),
    [
        ("cpac", "modern", "none", "CPAC modern, not normalised"),
        ("cpac", "released", "none", "CPAC released"),
        ("cpac", "released (0a1b2c)", "speaker", "CPAC released (0a1b2c), per speaker"),
        ("caam-mdd", "modern", "speaker", "caam-mdd modern, per speaker"),
        ("mfcc+logistic", "", "global", "MFCC statistics + logistic regression"),
        ("compare+linear", "", "corpus", "ComParE + SVM (linear), per corpus"),
        ("TIM-Net", "", "", "TIM-Net"),
    ],
)
def test_a_method_is_written_with_its_condition(method, recipe, normalisation, expected):
    row = {"method": method, "recipe": recipe, "normalisation": normalisation}
    assert tables.method_of(row) == expected


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
    assert [tables.part_of(row) for row in table[ours].to_dict("records")] == [
        "1 of 10 folds",
        "54 of 540 utterances",
    ]
    cells = tables.side_by_side(table)["EmoDB"].tolist()
    assert sum(cell.endswith("(1 of 10 folds)") for cell in cells) == 1
    assert sum(cell.endswith("(54 of 540 utterances)") for cell in cells) == 1


def test_methods_are_compared_with_cpac_like_with_like(tmp_path):
    store = results.RunStore(tmp_path)
    for kind in ("global", "speaker"):
        common = {"corpus": "emodb", "protocol": "kfold"}
        for fold in range(3):
            common["split"] = f"fold {fold}"
            network = {
                "task": "cpac",
                "method": "cpac",
                "recipe": fabricated.recipe("modern", kind),
            }
            shallow = {"task": "baseline", "method": "egemaps+rbf"}
            shallow["recipe"] = fabricated.recipe("", kind)
            fabricated.add_run(store, accuracy=0.9, **network, **common)
            fabricated.add_run(store, accuracy=0.4, **shallow, **common)
    runs = results.load_runs(store)
    predictions = results.load_predictions(store, runs)
    tests = tables.against_cpac(runs, predictions)
    assert tests["normalisation"].tolist() == ["global", "speaker"]
    assert tests["reference"].tolist() == ["CPAC modern", "CPAC modern, per speaker"]
    means = runs.groupby(["task", "normalisation"])["uar"].mean()
    expected = 100 * (means["baseline"] - means["cpac"])
    assert np.allclose(tests["difference"], expected) and (tests["mcnemar_p"] < 1).all()
    wide = tables.recalls(runs, predictions)
    assert len(wide) == 4 and list(wide.columns[-7:]) == fabricated.EMOTIONS["emodb"]
    mine = one_condition(runs, predictions, method="egemaps+rbf", normalisation="speaker")
    sad = mine[mine["emotion"] == "sad"]
    row = wide[(wide["method"] == "egemaps+rbf") & (wide["normalisation"] == "speaker")]
    assert row["sad"].item() == pytest.approx(100 * (sad["predicted"] == "sad").mean())
    sure = tables.confidences(runs, predictions)
    assert set(sure["method"]) == {"cpac"}  # those of the others are not meant as probabilities
    mine = one_condition(runs, predictions, method="cpac", normalisation="speaker")
    row = sure[sure["normalisation"] == "speaker"]
    assert row["ece"].item() == pytest.approx(100 * statistics.calibration_of(mine).ece)


def test_without_cpac_nothing_is_compared(runs):
    assert tables.against_cpac(runs[runs["task"] == "transfer"]).empty


def test_variants_under_one_name_are_told_apart(tmp_path):
    store = results.RunStore(tmp_path)
    for epochs in (30, 60):
        changed = {"name": "released", "normalisation": "none", "epochs": epochs}
        run = {"task": "cpac", "corpus": "emodb", "method": "cpac", "protocol": "kfold"}
        fabricated.add_run(store, split="fold 0", recipe=changed, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    ours = table[table["reported_by"] == "this study"]["recipe"]
    assert ours.nunique() == 2 and ours.str.fullmatch(r"released \([0-9a-f]{6}\)").all()
