"""What a study's words mean."""

import pytest
from toys import CLASSIFIER, NETWORK, write_code

from ctl_helpers.errors import StudyError
from ctl_helpers.methods import parse
from ctl_helpers.networks.recipes import recipe


def test_a_network_and_its_recipe():
    method = parse("cpac/modern", selection="validation")
    assert (method.name, method.kind, method.label) == ("cpac", "network", "cpac/modern")
    assert method.recipe == recipe("modern") and method.selection == "validation"
    assert parse("cpac").recipe == recipe("released")
    assert parse("timnet").recipe == recipe("timnet")  # its own, which is called as it is
    changed = parse("cpac/modern", "speaker", changes={"epochs": 3, "shift": None}).recipe
    assert (changed.normalisation, changed.epochs, changed.shift) == ("speaker", 3, 8)


def test_another_network_in_a_recipe_keeps_nothing_of_the_recipes_own(tmp_path):
    file = write_code(tmp_path / "my folder", "mine.py", NETWORK)
    method = parse(f"{file}:network/modern")
    assert method.recipe.network == method.name == f"{file}:network"
    assert method.recipe.settings == {} and method.recipe.epochs == 70
    assert parse(f"{file}:network").recipe.name == "released"
    assert parse("timnet/modern").recipe.network == "timnet"


def test_a_method_of_adaptation_has_the_recipes_across_corpora():
    method = parse("cdan-e/modern", selection="best_test", across=True)
    assert (method.name, method.kind, method.selection) == ("cdan-e", "adaptation", "last")
    assert method.recipe == recipe("modern", across=True)
    assert parse("source-only").recipe.epochs == 120


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("compare+linear", ("compare",)),
        ("mfcc+logistic", ("mfcc-statistics",)),
        ("compare+egemaps+linear-balanced", ("compare", "egemaps")),
        ("data/w2v.npz+rbf", ("data/w2v.npz",)),
    ],
)
def test_feature_sets_and_a_classifier(text, features):
    method = parse(text)
    assert method.features == features and method.kind == "shallow" and not method.seeded
    assert method.normalisation == "global"
    assert parse(text, across=True).normalisation == "corpus"
    assert parse(text, "speaker").normalisation == "speaker"


def test_a_classifier_of_ones_own_is_part_of_the_specification(tmp_path):
    file = write_code(tmp_path, "mine.py", CLASSIFIER)
    method = parse(f"egemaps+{file}:classifier")
    assert method.classifier == f"{file}:classifier"
    other = write_code(tmp_path / "other", "mine.py", CLASSIFIER + "\n# changed\n")
    sources = [parse(f"egemaps+{f}:classifier").spec()["recipe"]["source"] for f in (file, other)]
    assert sources[0] != sources[1]


def test_a_mean_of_methods_may_hold_another():
    method = parse("geometric(cpac/modern, mean(compare+linear,  mfcc+rbf), timnet)", "speaker")
    assert method.mean == "geometric" and method.kind == "fusion" and method.seeded
    assert [member.label for member in method.members] == [
        "cpac/modern",
        "mean(compare+linear, mfcc-statistics+rbf)",
        "timnet/timnet",
    ]
    assert method.members[0].recipe.normalisation == "speaker"
    assert method.members[1].members[0].normalisation == "speaker"
    assert not parse("mean(compare+linear, mfcc+rbf)").seeded


def test_given_predictions_are_named_by_their_file():
    assert parse("given:results/theirs.csv").name == "given:theirs.csv"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nope", "method 'nope': expected NETWORK/RECIPE (cpac"),
        ("nope/modern", "a method of adaptation (source-only, caam-released"),
        ("cpac/nope", "recipe 'nope': expected one of released"),
        ("cdan/timnet", "recipe 'timnet': expected one of released"),
        ("compare+nope", "FEATURES+CLASSIFIER (linear, linear-balanced, rbf, logistic, ridge,"),
        ("mean(cpac)", "expected two members or more"),
        ("median(cpac, timnet)", "mean(...), geometric(...) or given:FILE"),
        ("", "method ''"),
    ],
)
def test_words_that_mean_nothing_are_named_in_one_line(text, expected):
    with pytest.raises(StudyError) as caught:
        parse(text)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_values_that_do_not_fit_are_named():
    with pytest.raises(StudyError, match=r"normalisation of .*: expected one of global, speaker"):
        parse("compare+linear", "utterance")
    with pytest.raises(StudyError, match="normalisation: expected one of none, utterance"):
        parse("cpac/modern", "zscore")
    for words in ("cpac/modern", "compare+linear", "mean(cpac/modern, compare+linear)"):
        with pytest.raises(StudyError, match=r"no field 'epoch'; did you mean 'epochs'\?"):
            parse(words, changes={"epoch": 3})
