"""What the methods of adaptation share: the layer they are, and gradient reversal."""

import keras
from keras import layers, ops

EPSILON = 1e-7  # Keras's own, with which it keeps logarithms finite


class Method(layers.Layer):
    """A method of adaptation: adds its loss to a training model and passes p_source on.

    A subclass says in :meth:`discrepancy` what is to be made small; sublayers are made in
    ``__init__``.

    Parameters
    ----------
    recipe : Recipe
        Its strengths and schedules.
    **variant
        Values of a subclass's own attributes, such as ``hard=True``.
    """

    adversarial = False  # whether the strength acts on the reversed gradient, not on the loss
    weight = 1.0  # of a discrepancy whose scale is not that of the label loss

    def __init__(self, recipe, **variant):
        super().__init__(name="adaptation")
        self.recipe = recipe
        for name, value in variant.items():
            setattr(self, name, value)
        if self.adversarial:
            self.reversal = GradientReversal(recipe.strength, recipe.reversal_steps)
        self.discrepancies = keras.metrics.Mean("discrepancy")
        self.latest = self.add_weight((), "zeros", trainable=False, name="latest")

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Compute what training makes small.

        Parameters
        ----------
        z_source, z_target : tensors of shape (batch, 64)
            Embeddings of both corpora; equally many.
        p_source, p_target : tensors of shape (batch, classes)
            Probabilities of the emotions.
        training : bool
            Whether schedules advance.

        Returns
        -------
        scalar tensor
        """
        raise NotImplementedError

    def call(self, inputs, training=False):
        """Add the loss of ``[z, p]``, source then target along the batch; return ``p_source``."""
        z, p = map(halves, inputs)
        discrepancy = self.discrepancy(*z, *p, training=training)
        self.latest.assign(ops.stop_gradient(discrepancy))
        strength = 1.0 if self.adversarial else self.recipe.strength
        self.add_loss(strength * self.weight * discrepancy)
        return p[0]


class Adapting(keras.Model):
    """A model with a :class:`Method` in it, whose discrepancy is among its metrics."""

    def compute_loss(self, *args, **kwargs):
        """Note the discrepancy beside the loss: JAX drops what a layer's call adds to a metric."""
        method = self.get_layer("adaptation")
        method.discrepancies.update_state(method.latest)
        return super().compute_loss(*args, **kwargs)


class GradientReversal(layers.Layer):
    """Pass values on unchanged and gradients reversed, with a weight that rises from 0.

    The weight after i training steps is ``strength * (2 / (1 + exp(-i / steps)) - 1)``.

    Parameters
    ----------
    strength : float
        What the weight rises to.
    steps : float
        How slowly.

    References
    ----------
    Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016, section 4.2.
    """

    def __init__(self, strength=1.0, steps=1000.0, **kwargs):
        super().__init__(**kwargs)
        self.strength, self.steps = strength, steps
        self.step = self.add_weight((), "zeros", trainable=False, name="step")
        self.built = True

    def call(self, inputs, training=False):
        """Give ``inputs`` back; counts a step while training."""
        weight = self.strength * (2.0 / (1.0 + ops.exp(-self.step / self.steps)) - 1.0)
        if training:
            self.step.assign(self.step + 1.0)
        # stop_gradient((1 + w) x) - w x has the value of x and the gradient -w.
        return ops.stop_gradient((1.0 + weight) * inputs) - weight * inputs


def halves(tensor):
    """Split a batch into source and target."""
    count = ops.shape(tensor)[0] // 2
    return tensor[:count], tensor[count:]


def safe_log(probabilities):
    """Logarithm of probabilities, kept finite."""
    return ops.log(ops.clip(probabilities, EPSILON, 1.0))
