"""Kernel alignment: maximum mean discrepancy of embeddings (DAN), or of them and p (JAN)."""

from keras import ops

from ctl_helpers.networks.adaptation.method import Method

_WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, in mean squared distances
_LABEL_WIDTH = 1.68  # of JAN's kernel on probabilities, as in its authors' code


class MeanDiscrepancy(Method):
    """Squared maximum mean discrepancy between the corpora, over all pairs of a batch.

    The kernel on embeddings is the mean of five Gaussians ``exp(-|a - b|^2 / w)``, w being the
    batch's mean squared distance times 1/4, 1/2, 1, 2 and 4.

    Parameters
    ----------
    recipe : Recipe
        Its strength multiplies the discrepancy.
    joint : bool
        Multiply it with a Gaussian kernel on the probabilities of the emotions (JAN), so that
        joint distributions are aligned in place of marginal ones.

    Notes
    -----
    The authors' code adds the five kernels up: their discrepancy is about five times as large.

    References
    ----------
    Long et al., "Learning transferable features with deep adaptation networks", ICML 2015; "Deep
    transfer learning with joint adaptation networks", ICML 2017, eq. 9.
    """

    joint = False

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Mean kernel within both corpora less that between them."""
        distances = squared_distances(ops.concatenate([z_source, z_target]))
        unit = ops.stop_gradient(ops.mean(distances)) + 1e-12
        kernel = sum(ops.exp(-distances / (width * unit)) for width in _WIDTHS) / len(_WIDTHS)
        if self.joint:
            labels = squared_distances(ops.concatenate([p_source, p_target]))
            kernel = kernel * ops.exp(-labels / _LABEL_WIDTH)
        count = ops.shape(z_source)[0]
        within = ops.mean(kernel[:count, :count]) + ops.mean(kernel[count:, count:])
        return within - 2.0 * ops.mean(kernel[:count, count:])


def squared_distances(z):
    """Squared Euclidean distance of every pair of rows."""
    squares = ops.sum(ops.square(z), axis=-1)
    distances = squares[:, None] + squares[None] - 2.0 * ops.matmul(z, ops.transpose(z))
    return ops.maximum(distances, 0.0)
