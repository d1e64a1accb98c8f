"""CDAN: a discriminator that sees embeddings together with what is predicted from them."""

from keras import ops

from ctl_helpers.networks.adaptation.dann import DomainAdversarial
from ctl_helpers.networks.adaptation.method import halves, safe_log


class ConditionalAdversarial(DomainAdversarial):
    """Conditional domain-adversarial training on the outer product of embedding and probabilities.

    The probabilities are constants here, as in its authors' code. So are the weights, through which
    that code sends a reversed gradient to the probabilities.

    Parameters
    ----------
    recipe : Recipe
        Strength and schedule of the gradient reversal.
    entropy : bool
        Whether utterances weigh ``1 + exp(-H(p))`` in their corpus's mean, so that those that are
        recognised with certainty count more (CDAN+E).

    References
    ----------
    Long et al., "Conditional adversarial domain adaptation", NeurIPS 2018, eqs. 4 and 8.
    """

    entropy = False

    def build(self, input_shape):
        """Make the discriminator."""
        super().build([(None, input_shape[0][-1] * input_shape[1][-1])])

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Cross-entropy of the discriminator, the mean of both corpora's (weighted) means."""
        z = self.reversal(ops.concatenate([z_source, z_target]), training=training)
        p = ops.stop_gradient(ops.concatenate([p_source, p_target]))
        joint = ops.reshape(p[:, :, None] * z[:, None, :], (-1, p.shape[-1] * z.shape[-1]))
        losses = self.domain_losses(joint)
        weights = halves(1.0 + ops.exp(ops.sum(p * safe_log(p), axis=-1)))
        if not self.entropy:
            weights = [ops.ones_like(weight) for weight in weights]
        pairs = zip(weights, losses, strict=True)
        return 0.5 * sum(ops.sum(weight * loss) / ops.sum(weight) for weight, loss in pairs)
