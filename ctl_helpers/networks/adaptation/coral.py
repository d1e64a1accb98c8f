"""Deep CORAL: the distance between the covariances of both corpora."""

from keras import ops

from ctl_helpers.networks.adaptation.method import Method


class Coral(Method):
    """Correlation alignment of the embeddings.

    The loss is ``||C_source - C_target||^2 / (4 d^2)``, with the covariances C of the d-dimensional
    embeddings and Frobenius's norm.

    Notes
    -----
    Capsules are shorter than 1 and the loss between EmoDB and CASIA is near 3e-7 after a few
    epochs. The paper asks for a weight that lets it end as large as the label loss: hence a
    million, which a recipe's strength multiplies.

    References
    ----------
    Sun and Saenko, "Deep CORAL", ECCV Workshops 2016, eqs. 1-3.
    """

    weight = 1e6

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Squared distance of the covariances over 4 d^2."""
        difference = covariance(z_source) - covariance(z_target)
        return ops.sum(ops.square(difference)) / (4.0 * z_source.shape[-1] ** 2)


def covariance(z):
    """Covariance of the rows of ``z``, unbiased; that of a single row is 0."""
    centred = z - ops.mean(z, axis=0)
    degrees = ops.maximum(ops.shape(z)[0] - 1, 1)
    return ops.matmul(ops.transpose(centred), centred) / ops.cast(degrees, z.dtype)
