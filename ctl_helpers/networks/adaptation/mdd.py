"""CAAM: margin disparity discrepancy, with the soft labels that were released or hard ones."""

from keras import layers, ops

from ctl_helpers.networks.adaptation.method import Method, halves, safe_log


class MarginDisparity(Method):
    """Margin disparity discrepancy between a head f and an adversarial head f'.

    f' is ReLU -> dense softmax behind a gradient reversal: it learns to agree with f on the source
    and to disagree on the target, the encoder learns to make that impossible. f's outputs are
    constants here.

    Parameters
    ----------
    recipe : Recipe
        ``gamma`` weighs the source (1.5 if None).
    hard : bool
        ``False``, as CAAM was released: f's probabilities p are the labels, and the loss is
        ``-sum_k p_k log((1 - f'_k) / sum_j (1 - f'_j))`` on the target plus gamma times
        ``-sum_k p_k log f'_k`` on the source. ``True``, as published for MDD: with k = arg max p,
        ``-log(1 - f'_k)`` and ``-gamma log f'_k``.

    References
    ----------
    Zhang et al., "Bridging theory and algorithm for domain adaptation", ICML 2019, eqs. 27-30;
    Wen, Ye et al., "CTL-MTNet", IJCAI 2022, section 3.2.
    """

    adversarial = True
    hard = False

    def build(self, input_shape):
        """Make the adversarial head."""
        self.head = layers.Dense(input_shape[1][-1], "softmax", name="adversarial_head")
        self.head.build(input_shape[0])

    def discrepancy(self, z_source, z_target, p_source, p_target, training=False):
        """Disagreement of the two heads; see the class."""
        both = ops.concatenate([z_source, z_target])
        q_source, q_target = halves(self.head(ops.relu(self.reversal(both, training=training))))
        y_source, y_target = (ops.stop_gradient(p) for p in (p_source, p_target))
        other = 1.0 - q_target
        if self.hard:
            y_source, y_target = (_hardened(y) for y in (y_source, y_target))
        else:
            other = other / ops.sum(other, axis=-1, keepdims=True)
        on_source = -ops.sum(y_source * safe_log(q_source), axis=-1)
        on_target = -ops.sum(y_target * safe_log(other), axis=-1)
        gamma = 1.5 if self.recipe.gamma is None else self.recipe.gamma
        return gamma * ops.mean(on_source) + ops.mean(on_target)


def _hardened(probabilities):
    return ops.one_hot(ops.argmax(probabilities, axis=-1), probabilities.shape[-1])
