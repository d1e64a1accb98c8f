"""The card: what a saved network needs to be used, carried along as a layer that does nothing."""

from keras import layers

from ctl_helpers.networks.capsules import package


@package
class Card(layers.Layer):
    """Pass probabilities on unchanged, and hold a dictionary that is saved with the network.

    Parameters
    ----------
    card : dict
        JSON.
    """

    def __init__(self, card, **kwargs):
        super().__init__(**kwargs)
        self.card = card

    def call(self, inputs):
        """Give ``inputs`` back."""
        return inputs
