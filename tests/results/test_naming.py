import fabricated
import pytest

from ctl_helpers.results import naming
from ctl_helpers.results.runs import load_runs
from ctl_helpers.results.summaries import summary
from ctl_helpers.runs.store import RunStore


@pytest.mark.parametrize(
    ("method", "recipe", "normalisation", "expected"),
    [
        ("cpac", "released", "none", "CPAC released"),
        ("cpac", "released (epochs 9)", "speaker", "CPAC released (epochs 9), per speaker"),
        ("caam-mdd", "modern", "speaker", "CAAM (MDD) modern, per speaker"),
        ("mfcc+logistic", "", "global", "MFCC statistics + logistic regression"),
        ("compare+linear", "", "corpus", "ComParE + SVM (linear), per corpus"),
        ("source-only", "quick", "none", "source only quick"),
        ("TIM-Net", "", "", "TIM-Net"),
        ("timnet", "timnet", "global", "TIM-Net"),
        ("mean(cpac/modern, compare+rbf)", "", "", "mean of CPAC modern, ComParE + SVM (RBF)"),
        (
            "mean(mean(cpac/modern, mfcc+rbf), timnet/timnet)",
            "",
            "",
            "mean of mean of CPAC modern, MFCC statistics + SVM (RBF), TIM-Net",
        ),
        ("given:theirs.csv", "", "", "theirs.csv"),
    ],
)
def test_a_method_is_written_with_its_condition(method, recipe, normalisation, expected):
    row = {"method": method, "recipe": recipe, "normalisation": normalisation}
    assert naming.method_of(row) == expected


def test_variants_under_one_name_are_told_apart(tmp_path):
    store = RunStore(tmp_path)
    for kind, epochs in (("none", 30), ("none", 60), ("global", 30), ("speaker", 30)):
        changed = fabricated.recipe("released", kind) | {"epochs": epochs}
        fabricated.add_run(store, split="fold 0", recipe=changed, corpus="emodb")
    runs = naming.named_apart(load_runs(store))
    names = [naming.method_of(row) for row in runs.to_dict("records")]
    assert sorted(names) == [
        "CPAC released (not normalised) (epochs 30)",
        "CPAC released (not normalised) (epochs 60)",
        "CPAC released (scaled by the training part)",
        "CPAC released, per speaker",
    ]


def test_the_variant_of_most_runs_keeps_its_name(tmp_path):
    store = RunStore(tmp_path)
    for division, folds in ((98, 3), (1, 2)):
        for fold in range(folds):
            run = {"corpus": "emodb", "split": f"fold {fold}", "division": division}
            fabricated.add_run(store, recipe=fabricated.recipe("modern"), **run)
    table = naming.named_apart(summary(load_runs(store)))
    assert set(table["recipe"]) == {"modern", "modern (division 1)"}
