import re

import fabricated
import pytest

from ctl_helpers.results import naming
from ctl_helpers.results.runs import load_runs
from ctl_helpers.runs.store import RunStore


@pytest.mark.parametrize(
    ("method", "recipe", "normalisation", "expected"),
    [
        ("cpac", "released", "none", "CPAC released"),
        ("cpac", "released (0a1b2c)", "speaker", "CPAC released (0a1b2c), per speaker"),
        ("caam-mdd", "modern", "speaker", "CAAM (MDD) modern, per speaker"),
        ("mfcc+logistic", "", "global", "MFCC statistics + logistic regression"),
        ("compare+linear", "", "corpus", "ComParE + SVM (linear), per corpus"),
        ("source-only", "quick", "none", "source only quick"),
        ("TIM-Net", "", "", "TIM-Net"),
        ("timnet", "timnet", "global", "TIM-Net"),
        ("mean(cpac/modern, compare+rbf)", "", "", "mean of CPAC modern, ComParE + SVM (RBF)"),
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
    assert len(set(names)) == 4
    assert "CPAC released (scaled by the training part)" in names
    assert "CPAC released, per speaker" in names
    many = [name for name in names if re.search(r"\([0-9a-f]{6}\)$", name)]
    assert len(many) == 2 and all("not normalised" in name for name in many)
