import dataclasses

import pytest

from ctl_helpers.errors import StudyError
from ctl_helpers.networks.recipes import (
    RECIPES,
    TRANSFER_RECIPES,
    Recipe,
    check_fields,
    gamma_of,
    recipe,
)


def test_released_is_what_the_reference_says():
    found = recipe("released")
    assert (found.learning_rate, found.beta_1, found.beta_2) == (1e-3, 0.975, 0.932)
    assert (found.epsilon, found.batch_size, found.epochs) == (1e-8, 64, 300)
    assert (found.loss, found.smoothing, found.normalisation) == ("margin", 0.1, "none")
    assert (found.network, found.settings, found.features) == ("cpac", {}, "released")


def test_paper_differs_in_features_and_loss_alone():
    changed = dataclasses.replace(
        recipe("paper"), name="released", features="released", loss="margin"
    )
    assert changed == recipe("released")


def test_timnet_and_caam_are_as_published():
    found = recipe("timnet")
    assert (found.network, found.epochs, found.batch_size) == ("timnet", 500, 64)
    assert (found.beta_1, found.beta_2, found.smoothing) == (0.93, 0.98, 0.1)
    found = recipe("released", across=True)
    assert (found.network, found.epochs, found.batch_size) == ("caam", 120, 512)
    assert (found.beta_1, found.beta_2, found.loss) == (0.975, 0.935, "cross-entropy")
    pairs = (("casia", "emodb"), ("emodb", "casia"), ("emodb", "savee"), ("savee", "casia"))
    assert [gamma_of(*pair) for pair in pairs] == [1.5, 1.6, 1.3, 1.5]


@pytest.mark.parametrize("table", [RECIPES, TRANSFER_RECIPES])
def test_recipes_carry_their_names_and_cannot_be_changed(table):
    assert all(name == found.name for name, found in table.items())
    with pytest.raises(dataclasses.FrozenInstanceError):
        table["released"].epochs = 1


def test_a_change_is_a_copy_whose_name_says_it():
    assert recipe("released", epochs=None) == recipe("released")
    found = recipe("released", epochs=2, settings={"norm": "batch"})
    assert found.name == "released (epochs=2, norm=batch)" and recipe("released").epochs == 300
    assert found.settings == {"norm": "batch"}
    modern = recipe("modern", settings={"head_gain": 1.0})
    assert modern.settings == recipe("modern").settings | {"head_gain": 1.0}
    other = recipe("modern", network="mine.py:network", settings={"units": 3})
    assert other.settings == {"units": 3}, "a network of one's own knows nothing of CPAC's"
    same = recipe("independent", resampled=[0.84, 0.92, 1.09, 1.19], epochs=40)
    assert same == recipe("independent")
    # What is the recipe's own value is no change, and a normalisation has a column of its own.
    assert recipe("released", epochs=300, normalisation="global").name == "released"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"epoch": 3}, "no field 'epoch'"),
        ({"epochs": 0}, "epochs: expected a number from 1, got 0"),
        ({"epochs": 2.5}, "epochs: expected a number from 1, got 2.5"),
        ({"batch_size": 0}, "batch_size"),
        ({"shift": -1}, "shift: expected a number from 0"),
        ({"strength": -1.0}, "strength"),
        ({"weight_decay": True}, "weight_decay"),
        ({"learning_rate": 0}, "learning_rate: expected a number above 0"),
        ({"reversal_steps": "slow"}, "reversal_steps: expected a number above 0"),
        ({"averaging": 1.5}, "averaging: expected a share from 0 to 1"),
        ({"cutmix": -0.1}, "cutmix: expected a share"),
        ({"resampled": (1.1, 3)}, "resampled: expected a list of factors"),
        ({"loss": "hinge"}, "loss: expected one of margin"),
        ({"padding": "mirrored"}, "padding: expected one of kept, zeroed"),
        ({"schedule": "step"}, "schedule: expected one of constant"),
        ({"normalisation": "zscore"}, "normalisation: expected one of none"),
        ({"beta_1": 2}, "beta_1: expected a share from 0 to 1, got 2"),
        ({"gamma": "high"}, "gamma: expected a number above 0, got 'high'"),
        ({"settings": 3}, "settings: expected a mapping, such as .*, got 3"),
        ({"resampled": 1.1}, "resampled: expected a list of factors from 0.5 to 2, got 1.1"),
        ({"network": 3}, "network: expected a name, got 3"),
        ({"features": 3}, "features: expected a name, got 3"),
    ],
)
def test_mistakes_are_named_in_one_line(changes, expected):
    with pytest.raises(StudyError, match=expected) as caught:
        recipe("quick", **changes)
    assert "\n" not in str(caught.value)


def test_unknown_recipes_are_named_with_those_that_are_known():
    with pytest.raises(StudyError, match="recipe 'new': expected one of released, paper"):
        recipe("new")
    with pytest.raises(StudyError, match="recipe 'timnet': expected one of released"):
        recipe("timnet", across=True)
    with pytest.raises(StudyError, match="normalisation"):
        Recipe("mine", normalisation="zscore")


def test_nobody_changes_what_a_recipe_is_called():
    with pytest.raises(StudyError, match="no field 'name'"):
        check_fields({"name": "modern"})
