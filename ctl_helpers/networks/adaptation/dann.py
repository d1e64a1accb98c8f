"""DANN: a discriminator of corpora behind a gradient reversal."""

from keras import Sequential, layers, ops

from ctl_helpers.networks.adaptation.method import Method, halves


class DomainAdversarial(Method):
    """Domain-adversarial training: the encoder learns what a discriminator of corpora cannot use.

    The loss is the discriminator's binary cross-entropy, averaged over both corpora.

    References
    ----------
    Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016, section 4.
    """

    adversarial = True

    def build(self, input_shape):
        """Make the discriminator."""
        dense = [layers.Dense(100, "relu"), layers.Dense(100, "relu"), layers.Dense(1)]
        self.discriminator = Sequential(dense, name="discriminator")
        self.discriminator.build(input_shape[0])

    def domain_losses(self, inputs):
        """Cross-entropy per utterance of telling source (first half) from target (second half)."""
        source, target = halves(self.discriminator(inputs)[:, 0])
        return ops.softplus(-source), ops.softplus(target)

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Cross-entropy of the discriminator."""
        both = self.reversal(ops.concatenate([z_source, z_target]), training=training)
        return ops.mean(ops.concatenate(self.domain_losses(both)))
