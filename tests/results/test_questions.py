"""Goals, choices, seconds of a new voice and divisions, on invented runs of known scores."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from scipy import stats
from toys import variant

from ctl_helpers.results import questions as module
from ctl_helpers.results.questions import (
    chosen_by_other_pairs,
    goals,
    scores_by_division,
    seconds_of_a_new_voice,
    usual_division,
)
from ctl_helpers.results.runs import RUN_COLUMNS


def table(rows, **common):
    plain = {"corpus": "", "source": "", "target": "", "labels": "emotion", "selection": "last"}
    plain |= {"recipe": "", "split": "whole", "seed": 0, "normalisation": "speaker", **common}
    plain |= {"utterances": 54, "train_utterances": 481}
    rows = [{"variant": variant((plain | row)["recipe"])} | plain | row for row in rows]
    return pd.DataFrame(rows).reindex(columns=RUN_COLUMNS)


def folds(scores, **values):
    return [{"split": f"fold {n}", "uar": s, "of_folds": 10} | values for n, s in enumerate(scores)]


def test_a_goal_is_reached_by_the_method_that_it_names():
    modern = {"corpus": "emodb", "method": "cpac", "recipe": "modern", "protocol": "kfold"}
    good, better = np.linspace(0.88, 0.92, 10), np.linspace(0.98, 0.99, 10)
    runs = table(folds(good, **modern), normalisation="global")
    others = [{"recipe": "released"}, {"selection": "best_test"}, {"protocol": "stratified"}]
    others += [{"corpus": "casia", "recipe": "other"}, {"normalisation": "speaker"}]
    others += [{"variant": variant("modern", epochs=99)}, {"variant": variant("modern", 3)}]
    rows = [row for other in others for row in folds(better, **modern | other)]
    row, _ = goals(pd.concat([runs, table(rows, normalisation="global")])).to_dict("records")
    assert row["place"] == "EmoDB" and row["method"] == "CPAC modern"
    assert row["uar"] == pytest.approx(90) and row["uar_low"] < 90 < row["uar_high"]
    assert (row["goal"], row["reached"], row["folds"], row["of_folds"]) == (90, "yes", 10, 10)
    assert row["block"] == "modern, shuffled"
    less = table(folds(good - 0.01, **modern), normalisation="global")
    assert goals(less)["reached"].tolist() == ["no"]
    assert goals(runs.iloc[:0]).empty


@pytest.mark.parametrize(("gain", "ahead"), [(0.02, "yes"), (0.001, "no"), (-0.02, "no")])
def test_one_method_is_ahead_of_another_by_the_whole_interval(gain, ahead):
    place = {"corpus": "emodb", "method": "cpac", "protocol": "kfold"}
    noise = np.random.default_rng(0).normal(0, 0.01, 10)
    rows = folds(np.linspace(0.7, 0.8, 10) + noise + gain, **place, recipe="modern")
    rows = [row | {"normalisation": "global"} for row in rows]
    # Of the other method what its recipe says, here without any normalisation.
    rows += folds(np.linspace(0.7, 0.8, 10), **place, recipe="released", normalisation="none")
    found = goals(table(rows)).set_index("goal").loc[0]
    assert found["uar"] == pytest.approx(100 * (noise.mean() + gain))
    t, rho = stats.t.ppf(0.975, 9), 54 / 481  # Nadeau and Bengio
    half = 100 * t * noise.std(ddof=1) * math.sqrt(1 / 10 + rho)
    assert [found["uar_low"], found["uar_high"]] == pytest.approx(
        [found["uar"] - half, found["uar"] + half]
    )
    assert found["reached"] == ahead == ("yes" if found["uar_low"] > 0 else "no")


def test_one_fold_alone_is_ahead_of_nothing():
    place = {"corpus": "emodb", "method": "cpac", "protocol": "kfold"}
    rows = folds([0.9], **place, recipe="modern", normalisation="global")
    rows += folds([0.8], **place, recipe="released", normalisation="none")
    assert goals(table(rows))["goal"].tolist() == [90]


def test_a_goal_is_about_the_ten_folds_that_are_published():
    place = {"corpus": "emodb", "method": "cpac", "recipe": "modern", "protocol": "kfold"}
    rows = folds([0.95] * 10, **place)
    rows += [row | {"of_folds": 5} for row in folds([0.5] * 5, **place)]
    assert goals(table(rows, normalisation="global"))["uar"].tolist() == pytest.approx([95])
    voices = {"corpus": "ravdess", "method": "perceptron", "recipe": "weighted"}
    voices |= {"protocol": "grouped", "normalisation": "speaker"}
    rows = folds([0.7] * 6, **voices, of_folds=6) + folds([0.1] * 3, **voices, of_folds=3)
    assert goals(table(rows))["uar"].tolist() == pytest.approx([70])


def test_goals_name_what_the_reference_computes():
    from ctl_helpers.study.settings import read_study

    study = read_study(REPOSITORY / "studies/reference.yaml")
    asked = pd.read_csv(Path(module.__file__).with_name("goals.csv"), keep_default_na=False)
    for goal in asked.to_dict("records"):
        block = study.blocks[goal["block"]]
        assert goal["method"] in (*block.methods, module.CHOSEN)
        if goal["ahead_of"]:
            assert goal["ahead_of"] in study.blocks["released, shuffled"].methods
        corpora = {name for place in goal["places"].split() for name in place.split(":")}
        assert corpora <= set(block.names)
        assert goal["protocol"] in (*block.protocols, *block.scorings)


def test_the_method_across_corpora_is_chosen_by_pairs_without_the_target():
    scores = {  # by source, target: that of two methods that ran everywhere
        ("a", "b"): (0.50, 0.30),
        ("c", "b"): (0.50, 0.30),
        ("a", "c"): (0.20, 0.35),
        ("b", "c"): (0.20, 0.40),
        ("b", "a"): (0.60, 0.50),
        ("c", "a"): (0.60, 0.50),
    }
    rows = [
        {"source": s, "target": t, "method": name, "uar": score + change, "seed": seed}
        for (s, t), both in scores.items()
        for name, score in zip(("one", "two"), both, strict=True)
        for seed, change in enumerate((-0.01, 0, 0.01))
    ]
    rows.append({"source": "a", "target": "b", "method": "best, but on one pair", "uar": 0.99})
    changed = {"recipe": "modern (epochs=5)", "kind": "adaptation", "method": "one", "uar": 0.99}
    rows += [{"source": s, "target": t} | changed for s, t in scores]
    rows.append({"source": "a+c", "target": "b", "method": "one", "uar": 0.99})
    found = chosen_by_other_pairs(table(rows, protocol="transductive")).set_index(
        ["source", "target"]
    )
    # For b by the pairs of a and c alone: 0.4 against 0.425; for c by those of a and b: 0.55, 0.4.
    assert found.loc[("a", "b"), "method"] == "two, per speaker"
    assert found.loc[("b", "c"), "method"] == "one, per speaker"
    assert found.loc[("a", "b"), ["uar", "best", "seeds"]].tolist() == pytest.approx([30, 50, 3])
    assert found.loc[("a", "b"), "uar_low"] < 30 < found.loc[("a", "b"), "uar_high"]
    two_corpora = table(rows, protocol="transductive").query("source != 'c' and target != 'c'")
    assert chosen_by_other_pairs(two_corpora).empty


def test_scores_by_how_much_of_a_new_voice_is_known():
    place = {"corpus": "emodb", "protocol": "loso", "method": "compare+linear", "of_folds": 2}
    known = {"global": (0.6, 0.7), "speaker-5s": (0.3, 0.5), "speaker": (0.8, 0.9)}
    rows = [row for kind, both in known.items() for row in folds(both, **place, normalisation=kind)]
    rows += folds((0.2, 0.2), **place, normalisation="speaker-5s", seed=1)  # another draw
    rows += folds((0.5, 0.5), **place | {"method": "egemaps+linear"}, normalisation="speaker")
    (row,) = seconds_of_a_new_voice(table(rows)).to_dict("records")
    assert row["corpus"] == "EmoDB" and row["method"] == "ComParE + SVM (linear)"
    assert [row[key] for key in ("none", "5 s", "all")] == pytest.approx([65, 30, 85])
    assert [row["5 s_low"], row["5 s_high"]] == pytest.approx([20, 40])
    assert np.isnan(row["20 s"])


def test_seconds_of_a_new_voice_keep_other_settings_apart():
    place = {"corpus": "emodb", "protocol": "grouped", "method": "compare+linear"}
    rows = []
    for count, score in ((5, 0.4), (10, 0.8)):
        settings = {"variant": variant("", folds=count), "normalisation": "speaker-5s"}
        rows += folds([score] * count, **place, **settings, of_folds=count)
    # All the speech of a voice is known, but of two of ten folds only: it stands beside nothing.
    rows += folds([0.9] * 2, **place | settings | {"normalisation": "speaker"})
    assert seconds_of_a_new_voice(table(rows))["all"].isna().all()
    assert seconds_of_a_new_voice(table(rows))["5 s"].tolist() == pytest.approx([80, 40])


def test_scores_of_other_divisions_stand_beside_the_usual_one_alone():
    place = {"corpus": "emodb", "protocol": "kfold", "method": "compare+linear", "classes": "a, b"}
    place |= {"of_folds": 2}
    scores = {98: (0.8, 0.9), 0: (0.6, 0.7), 1: (0.7, 0.8)}
    several = [
        row | {"variant": variant("", seed)}
        for seed, both in scores.items()
        for row in folds(both, **place)
    ]
    once = folds((0.5, 0.5), **place | {"protocol": "loso"}, variant=variant("", None))
    other = folds((0.3, 0.3), **place | {"method": "mfcc+linear"}, variant=variant("", 3))
    fewer = folds((0.2, 0.2), **place, variant=variant("", 3, folds=5))  # of other settings
    stopped = folds((0.9,), **place, variant=variant("", 7))  # after one of its folds
    runs = table([*several, *once, *other, *fewer])
    (row,) = scores_by_division(pd.concat([runs, table(stopped)])).to_dict("records")
    assert row["others"] == 2
    (row,) = scores_by_division(runs).to_dict("records")
    assert (row["corpus"], row["protocol"], row["others"]) == ("EmoDB", "kfold", 2)
    found = [row[key] for key in ("seed 98", "others, mean", "lowest", "highest")]
    assert found == pytest.approx([85, 70, 65, 75])
    kept = [0.8, 0.9, 0.5, 0.5, 0.3, 0.3, 0.2, 0.2]
    assert usual_division(runs)["uar"].tolist() == kept
    assert scores_by_division(usual_division(runs)).empty and usual_division(runs[:0]).empty
