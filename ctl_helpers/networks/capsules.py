"""The capsule layers of CPAC: folded convolution, primary capsules and routing, exact and fast.

Every layer is the released computation up to floating-point rounding, written so that the large
activations are passed over as seldom as possible.
"""

import keras
from keras import layers, ops

package = keras.saving.register_keras_serializable(package="ctl_helpers")


def scaled_glorot(gain):
    """Glorot's uniform initial values times a factor."""
    return keras.initializers.VarianceScaling(gain**2, "fan_avg", "uniform")


def make_norm(layer, shape):
    """Make the four arrays of a layer's batch norm: scale, shift and the moving moments."""
    layer.gamma = layer.add_weight(shape, "ones", name="gamma")
    layer.beta = layer.add_weight(shape, "zeros", name="beta")
    layer.moving_mean = layer.add_weight(shape, "zeros", trainable=False, name="moving_mean")
    layer.moving_variance = layer.add_weight(shape, "ones", trainable=False, name="moving_variance")


def learn_moments(layer, mean, variance):
    """Move the moving moments of a layer's batch norm towards those of a batch."""
    keep = layer.momentum
    layer.moving_mean.assign(keep * layer.moving_mean + (1 - keep) * mean)
    layer.moving_variance.assign(keep * layer.moving_variance + (1 - keep) * variance)


@package
class Squash(layers.Layer):
    """Shrink each capsule's length into [0, 1) and keep its direction.

    ``squash(v) = |v|^2 / (1 + |v|^2) * v / sqrt(|v|^2 + 1e-7)`` over the last axis (Sabour et al.,
    NeurIPS 2017, eq. 1, with the released code's epsilon).
    """

    def call(self, capsules):
        """Squash ``capsules`` of shape (..., dimension)."""
        square = ops.sum(ops.square(capsules), axis=-1, keepdims=True)
        return capsules * (square / (1.0 + square) * ops.rsqrt(square + 1e-7))


@package
class Dropout(layers.Layer):
    """Dropout whose mask costs a few random bits per value, not a random float.

    Unlike Keras's own, it draws from its seed alone on every backend, so that a training that was
    stopped can go on with the masks that were next.

    Parameters
    ----------
    rate : float
        Share of values set to zero while training: cheap at 1/2, multiples of 1/4 and of 1/16;
        others cost floats.
    seed : int, optional
        Of the mask; drawn from the global seed if not given.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False, scale=1.0):
        """Drop from ``inputs`` of shape (batch, ..., channels), and multiply by ``scale``."""
        if not training or self.rate == 0:
            return inputs if scale == 1 else inputs * scale
        kept = ops.cast(self._kept(ops.shape(inputs)[0], inputs.shape[1:]), inputs.dtype)
        return inputs * (kept * (scale / (1 - self.rate)))

    def _kept(self, batch, shape):
        bits = next((n for n in (1, 2, 4) if self.rate * 2**n % 1 == 0), None)
        if not bits:
            return keras.random.uniform((batch, *shape), seed=self.seed_generator) >= self.rate
        *places, channels = shape
        values = 32 // bits  # in a random word
        words = keras.random.randint(
            (batch, *places, -(-channels // values)), -(2**31), 2**31 - 1, seed=self.seed_generator
        )
        octets = ops.view(words, dtype="uint8")
        mask, least = 2**bits - 1, int(self.rate * 2**bits)
        places = range(0, 8, bits)
        kept = [ops.bitwise_and(octets, mask << place) >= (least << place) for place in places]
        return ops.concatenate(kept, axis=-1)[..., :channels]


@package
class ConvolutionBlock(layers.Layer):
    """A valid convolution, a batch norm folded into it, ELU, the average over 2 x 2, dropout.

    Parameters
    ----------
    filters : int
        Number of output channels.
    rate : float
        Of the dropout.
    kernel_size : int
        Height and width of the kernel.
    norm : {"frozen", "batch"}
        ``"frozen"``: the norm stays in inference mode while training too, as CPAC was released: a
        learned scale and shift per channel. ``"batch"``: it learns its statistics from the batches.
    epsilon, momentum : float
        Of the norm.
    precision : {"float32", "bfloat16"}
        Of the factors in the convolution's products; weights, statistics and outputs are float32.

    Notes
    -----
    Convolution and norm are linear in the channel, so ``norm(conv(x, k) + b)`` is
    ``conv(x, k * s) + t`` with ``s = gamma / sqrt(variance + epsilon)`` and
    ``t = beta + (b - mean) * s``: the same function and the same gradients, two passes over the
    activation cheaper. With a single input channel, the first and largest block, two more are
    saved. The batch's statistics follow from those of its patches, ``mean = k . E[p] + b`` and
    ``variance = k' Cov[p] k``, so that ``"batch"`` folds as well; and the four values of each
    2 x 2 come from a convolution of stride 2 each, so that their average is a sum of arrays, whose
    gradient costs nothing, and a quarter in the dropout's mask.
    """

    def __init__(
        self,
        filters,
        rate=0.0,
        kernel_size=3,
        norm="frozen",
        epsilon=1e-3,
        momentum=0.99,
        precision="float32",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.precision = filters, kernel_size, precision
        self.norm, self.epsilon, self.momentum = norm, epsilon, momentum
        self.rate, self.dropout = rate, Dropout(rate)

    def build(self, input_shape):
        """Make kernel, bias and the norm's four vectors."""
        shape = (self.kernel_size, self.kernel_size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
        self.bias = self.add_weight(shape[3:], "zeros", name="bias")
        make_norm(self, shape[3:])

    def call(self, inputs, training=False):
        """Pass on ``inputs`` of shape (batch, height, width, channels)."""
        single, outputs = inputs.shape[-1] == 1, None
        mean, variance = self.moving_mean, self.moving_variance
        if training and self.norm == "batch":
            if single:
                mean, variance = self._moments_from_patches(inputs)
            else:
                outputs = self._product(inputs, self.kernel)
                mean, variance = ops.moments(outputs, axes=[0, 1, 2])
            mean = mean + self.bias
            learn_moments(self, mean, variance)
        scale = self.gamma * ops.rsqrt(variance + self.epsilon)
        kernel, shift = self.kernel * scale, self.beta + (self.bias - mean) * scale
        if single:
            total = self._summed_by_strides(inputs, kernel, shift)
            return self.dropout(total, training=training, scale=0.25)
        outputs = self._product(inputs, kernel) if outputs is None else outputs * scale
        pooled = ops.average_pool(ops.elu(outputs + shift), 2, 2, padding="valid")
        return self.dropout(pooled, training=training)

    def _summed_by_strides(self, inputs, kernel, shift):
        # As far as a kernel reaches from the first value of the last 2 x 2.
        size = self.kernel_size
        height, width = (2 * ((n - size + 1) // 2) + size - 2 for n in inputs.shape[1:3])
        corners = [
            ops.elu(self._product(inputs[:, i : i + height, j : j + width], kernel, 2) + shift)
            for i in (0, 1)
            for j in (0, 1)
        ]
        return sum(corners[1:], corners[0])

    def _product(self, inputs, kernel, strides=1):
        if self.precision == "float32":
            return ops.conv(inputs, kernel, strides, padding="valid")
        inputs, kernel = (ops.cast(x, self.precision) for x in (inputs, kernel))
        return ops.cast(ops.conv(inputs, kernel, strides, padding="valid"), "float32")

    def _moments_from_patches(self, inputs):
        size = self.kernel_size
        height, width = inputs.shape[1] - size + 1, inputs.shape[2] - size + 1
        image = inputs[..., 0]
        places = [(i, j) for i in range(size) for j in range(size)]
        patches = [ops.reshape(image[:, i : i + height, j : j + width], (-1,)) for i, j in places]
        patches = ops.stack(patches)
        centre = ops.mean(patches, axis=1)
        centred = patches - centre[:, None]
        covariance = ops.matmul(centred, ops.transpose(centred))
        covariance = covariance / ops.cast(ops.shape(patches)[1], "float32")
        kernel = ops.reshape(self.kernel, (size * size, self.filters))
        return ops.matmul(centre, kernel), ops.sum(kernel * ops.matmul(covariance, kernel), axis=0)


@package
class PrimaryCapsules(layers.Layer):
    """Convolve into capsules: (batch, height, width, channels) to (batch, capsules, dimension).

    Parameters
    ----------
    dimension : int
        Length of a capsule's vector.
    channels : int
        Filters of the 3 x 3 convolution; each position gives ``channels / dimension`` capsules.
    precision : {"float32", "bfloat16"}
        Of the factors in its products; weights and capsules are float32.

    Notes
    -----
    With 39 coefficients the map is three columns wide here, as wide as the kernel: the convolution
    is then one matrix product of row triples, several times faster than a general convolution.
    """

    def __init__(self, dimension=64, channels=384, precision="float32", **kwargs):
        super().__init__(**kwargs)
        self.dimension, self.channels, self.precision = dimension, channels, precision

    def build(self, input_shape):
        """Make the convolution's kernel and bias."""
        shape = (3, 3, input_shape[-1], self.channels)
        self.kernel = self.add_weight(shape, "glorot_uniform", name="kernel")
        self.bias = self.add_weight((self.channels,), "zeros", name="bias")

    def call(self, inputs):
        """Return the capsules, not yet squashed."""
        height, width, depth = inputs.shape[1:]
        inputs, kernel = (ops.cast(x, self.precision) for x in (inputs, self.kernel))
        if width == 3:
            rows = ops.reshape(inputs, (-1, height, 3 * depth))
            triples = ops.concatenate([rows[:, i : height - 2 + i] for i in range(3)], axis=-1)
            outputs = ops.matmul(triples, ops.reshape(kernel, (9 * depth, self.channels)))
        else:
            outputs = ops.conv(inputs, kernel, padding="valid")
        outputs = ops.cast(outputs, "float32") + self.bias
        count = (height - 2) * (width - 2) * (self.channels // self.dimension)
        return ops.reshape(outputs, (-1, count, self.dimension))


@package
class Capsules(layers.Layer):
    """Route input capsules to output capsules by agreement, one transformation for all inputs.

    Parameters
    ----------
    count : int
        Number of output capsules.
    dimension : int
        Length of an output capsule's vector.
    routings : int
        Rounds of routing.
    gain : float
        Factor on the transformation's initial values, drawn as Glorot and Bengio say. The squash is
        quadratic in short vectors, and with 1 nearly nothing passes it in the first epochs.

    Notes
    -----
    Logits b start at 0; c = softmax of b over the output capsules; s = sum_n c u_hat; except in
    the last round s is L2-normalised and b *becomes* the agreement s . u_hat; the last s is
    squashed (the released variant of Sabour et al., 2017, procedure 1). Since all inputs share the
    transformation, sum_n c_nk (x_n W_k) = (sum_n c_nk x_n) W_k and
    s_k . (x_n W_k) = x_n . (W_k s_k): the votes u_hat
    need never be written down.
    """

    def __init__(self, count=6, dimension=64, routings=3, gain=1.0, **kwargs):
        super().__init__(**kwargs)
        self.count, self.dimension, self.routings = count, dimension, routings
        self.gain, self.squash = gain, Squash()

    def build(self, input_shape):
        """Make the shared transformation."""
        shape = (input_shape[-1], self.count * self.dimension)
        self.kernel = self.add_weight(shape, scaled_glorot(self.gain), name="kernel")

    def call(self, inputs):
        """Route ``inputs`` of shape (batch, capsules, dimension_in)."""
        shape = (inputs.shape[-1], self.count, self.dimension)
        kernel = ops.transpose(ops.reshape(self.kernel, shape), (1, 0, 2))  # (count, in, out)
        pooled = ops.mean(inputs, axis=1)[:, None] * (inputs.shape[1] / self.count)
        pooled = ops.broadcast_to(pooled, (ops.shape(inputs)[0], self.count, shape[0]))
        for _ in range(self.routings - 1):
            votes = ops.einsum("bki,kio->bko", pooled, kernel)
            square = ops.sum(ops.square(votes), axis=-1, keepdims=True)
            votes = votes * ops.rsqrt(ops.maximum(square, 1e-12))
            queries = ops.einsum("bko,kio->bki", votes, kernel)
            logits = ops.matmul(inputs, ops.transpose(queries, (0, 2, 1)))
            coupling = ops.softmax(logits, axis=-1)
            pooled = ops.matmul(ops.transpose(coupling, (0, 2, 1)), inputs)
        return self.squash(ops.einsum("bki,kio->bko", pooled, kernel))
