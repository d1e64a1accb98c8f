"""DANN: a discriminator of corpora behind a gradient reversal."""

from keras import ops

from ctl_helpers.networks.adaptation.method import Method, discriminator, domain_losses


class DomainAdversarial(Method):
    """Domain-adversarial training: the encoder learns what a discriminator of corpora cannot use.

    The loss is the discriminator's binary cross-entropy, averaged over both corpora.

    References
    ----------
    Ganin et al., "Domain-adversarial training of neural networks", JMLR 2016, section 4.
    """

    adversarial = True

    def __init__(self, recipe, **kwargs):
        super().__init__(recipe, **kwargs)
        self.discriminator = discriminator()

    def build(self, input_shape):
        """Make the discriminator."""
        self.discriminator.build(input_shape[0])

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Cross-entropy of the discriminator."""
        both = self.reversal(ops.concatenate([z_source, z_target]), training=training)
        return ops.mean(ops.concatenate(domain_losses(self.discriminator(both))))
