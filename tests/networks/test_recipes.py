import dataclasses

import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.recipes import RECIPES, Recipe, recipe


def test_released_is_what_the_reference_says():
    found = recipe("released")
    assert (found.learning_rate, found.beta_1, found.beta_2) == (1e-3, 0.975, 0.932)
    assert (found.epsilon, found.batch_size, found.epochs) == (1e-8, 64, 300)
    assert found.dropout == (0.5, 0.25, 0.25) and found.head_dropout == 0.2
    assert (found.loss, found.smoothing, found.normalisation) == ("margin", 0.1, "none")
    assert found.norm == "frozen" and found.features == "released"


def test_paper_differs_in_features_and_loss_alone():
    changed = dataclasses.replace(
        recipe("paper"), name="released", features="released", loss="margin"
    )
    assert changed == recipe("released")


def test_recipes_carry_their_names_and_cannot_be_changed():
    assert all(name == found.name for name, found in RECIPES.items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["released"].epochs = 1
    assert recipe("released", epochs=2).epochs == 2 and recipe("released").epochs == 300


@pytest.mark.parametrize(
    ("mistake", "expected"),
    [
        (lambda: recipe("new"), "recipe 'new': expected one of released"),
        (lambda: recipe("quick", epoch=3), "no field 'epoch'"),
        (lambda: recipe("quick", epochs=0), "epochs: expected 1 or more, got 0"),
        (lambda: recipe("quick", batch_size=0), "batch_size"),
        (lambda: recipe("quick", resampled=0.9), "resampled: expected a list of factors"),
        (lambda: recipe("quick", resampled=(1.1, 3)), "resampled: expected a list of factors"),
        (lambda: recipe("quick", speed=1.0), "speed: expected 0 or more, and less than 1, got 1.0"),
        (lambda: recipe("quick", noise=-0.1), "noise: expected 0 or more"),
        (lambda: recipe("quick", loss="hinge"), "loss: expected one of margin"),
        (lambda: recipe("quick", attention="none"), "attention: expected one of scaled"),
        (lambda: Recipe("mine", normalisation="zscore"), "normalisation: expected one of none"),
        (lambda: Recipe("mine", precision="float16"), "precision"),
        (lambda: Recipe("mine", norm="layer"), "norm"),
        (lambda: Recipe("mine", schedule="step"), "schedule"),
        (lambda: Recipe("mine", features="mel"), "features"),
    ],
)
def test_mistakes_are_told_in_one_line(mistake, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        mistake()
    assert "\n" not in str(caught.value)
