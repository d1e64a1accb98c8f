import fabricated
import pytest

from ctl_helpers.report import tables
from ctl_helpers.results import naming
from ctl_helpers.results import runs as results


@pytest.mark.parametrize(
    ("method", "recipe", "normalisation", "expected"),
    [
        ("cpac", "modern", "none", "CPAC modern, not normalised"),
        ("cpac", "released", "none", "CPAC released"),
        ("cpac", "released (0a1b2c)", "speaker", "CPAC released (0a1b2c), per speaker"),
        ("caam-mdd", "modern", "speaker", "CAAM (MDD) modern, per speaker"),
        ("mfcc+logistic", "", "global", "MFCC statistics + logistic regression"),
        ("compare+linear", "", "corpus", "ComParE + SVM (linear), per corpus"),
        ("source-only", "quick", "none", "source only quick"),
        ("TIM-Net", "", "", "TIM-Net"),
    ],
)
def test_a_method_is_written_with_its_condition(method, recipe, normalisation, expected):
    row = {"method": method, "recipe": recipe, "normalisation": normalisation}
    assert naming.method_of(row) == expected


def test_variants_under_one_name_are_told_apart(tmp_path):
    store = results.RunStore(tmp_path)
    for epochs in (30, 60):
        changed = {"name": "released", "normalisation": "none", "epochs": epochs}
        run = {"task": "cpac", "corpus": "emodb", "method": "cpac", "protocol": "kfold"}
        fabricated.add_run(store, split="fold 0", recipe=changed, **run)
    table = tables.ours_beside_published(results.load_runs(store))
    ours = table[table["reported_by"] == "this study"]["recipe"]
    assert ours.nunique() == 2 and ours.str.fullmatch(r"released \([0-9a-f]{6}\)").all()
