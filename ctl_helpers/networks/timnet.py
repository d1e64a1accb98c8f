"""TIM-Net: dilated causal convolutions in both directions of time, for MFCC as they are.

The network is the released one up to floating-point rounding. It is fast because a convolution of
kernel 2 is computed as two matrix products, and because the gradient of convolution and batch norm
is written out, so that the large activations are read and written as seldom as possible.
"""

import keras
from keras import layers, ops

from ctl_helpers.networks.capsules import learn_moments, make_norm, package


def timnet(frames, coefficients=39, classes=7, *, channels=39, levels=8, dropout=0.1):
    """TIM-Net with its softmax over the emotions: 106 992 parameters for 39 values and 7 classes.

    Parameters
    ----------
    frames, coefficients : int
        Shape of an utterance's features.
    classes : int
        Number of emotions.
    channels : int
        Filters of every convolution, and length of the embedding.
    levels : int
        Number of temporal-aware blocks in each direction; dilations are 1, 2, 4, ...
    dropout : float
        Rate of the spatial dropout behind every convolution.

    Returns
    -------
    keras.Model
        (batch, frames, coefficients) to probabilities (batch, classes).

    References
    ----------
    Ye, Wen et al., "Temporal modeling matters: a novel temporal emotional modeling approach for
    speech emotion recognition", ICASSP 2023.

    Examples
    --------
    >>> timnet(188, 39, 7).count_params()
    106992
    """
    inputs = keras.Input((frames, coefficients), name="features")
    x = TemporalBlocks(channels, levels, dropout, name="temporal_blocks")(inputs)
    x = WeightedSum(name="embedding")(x)
    outputs = layers.Dense(classes, "softmax", name="emotion")(x)
    return keras.Model(inputs, outputs, name="timnet")


@package
class WeightedSum(layers.Layer):
    """Sum (batch, levels, channels) over the levels with learned weights."""

    def build(self, input_shape):
        """Make a weight per level."""
        self.kernel = self.add_weight((input_shape[1], 1), uniform(0.05), name="kernel")

    def call(self, inputs):
        """Return the sum of shape (batch, channels)."""
        return ops.sum(inputs * self.kernel, axis=1)


@package
class TemporalBlocks(layers.Layer):
    """Temporal-aware blocks of both directions: (batch, frames, features) to a vector per level.

    A block is twice [causal dilated convolution of kernel 2, batch norm, ReLU, spatial dropout],
    then its input times the sigmoid of that. A level's vector is the sum of both directions'
    outputs, averaged over time.

    Parameters
    ----------
    channels : int
        Filters of every convolution.
    levels : int
        Number of blocks in each direction; block j has dilation 2^j.
    rate : float
        Of the spatial dropout, which draws from a seed of its own.
    epsilon, momentum : float
        Of the batch norm.
    seed : int, optional
        Of the dropout; drawn from the global seed if not given.

    Notes
    -----
    The weights of all convolutions are stacked along three axes: level, direction (forward,
    backward), first or second convolution of the block. A kernel's own first axis is time: the
    earlier frame, then the present one.
    """

    def __init__(
        self, channels=39, levels=8, rate=0.1, epsilon=1e-3, momentum=0.99, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.channels, self.levels, self.rate = channels, levels, rate
        self.epsilon, self.momentum = epsilon, momentum
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape):
        """Make the weights, with the initial values of Keras's own layers."""
        features, channels = input_shape[-1], self.channels
        glorot = uniform((6 / (features + channels)) ** 0.5)
        self.input_kernel = self.add_weight((2, features, channels), glorot, name="input_kernel")
        self.input_bias = self.add_weight((2, channels), "zeros", name="input_bias")
        stack, glorot = (self.levels, 2, 2), uniform((6 / (4 * channels)) ** 0.5)
        self.kernel = self.add_weight((*stack, 2, channels, channels), glorot, name="kernel")
        shape = (*stack, channels)
        self.bias = self.add_weight(shape, "zeros", name="bias")
        make_norm(self, shape)

    def call(self, inputs, training=False):
        """Return the levels' vectors of shape (batch, levels, channels)."""
        x = ops.transpose(inputs, (1, 0, 2))  # what lies next in time is then a block of memory
        sides = [
            ops.matmul(side, self.input_kernel[i]) + self.input_bias[i]
            for i, side in enumerate((x, ops.flip(x, axis=0)))
        ]
        moments = []
        convolve = self._training(ops.shape(inputs)[0], moments) if training else self._inference()
        vectors = []
        for level in range(self.levels):
            for i, x in enumerate(sides):
                sides[i] = x * ops.sigmoid(convolve(convolve(x, 2**level), 2**level))
            vectors.append(ops.sum(sides[0], axis=0) + ops.sum(sides[1], axis=0))
        if training:
            mean, variance = (
                ops.reshape(ops.stack(x), self.bias.shape) for x in zip(*moments, strict=True)
            )
            learn_moments(self, mean + self.bias, variance)
        return ops.stack(vectors, axis=1) * (1 / inputs.shape[1])

    def _inference(self):
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        shifts = _unstack(self.beta + (self.bias - self.moving_mean) * scale)
        weights = zip(_unstack(self.kernel * scale[..., None, None, :], 3), shifts, strict=True)

        def convolve(x, dilation):
            kernel, shift = next(weights)
            return ops.relu(_convolve(x, kernel, shift, dilation))

        return convolve

    def _training(self, batch, moments):
        shape = (4 * self.levels, batch, self.channels)
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        masks = ops.unstack(ops.cast(kept, "float32") * (1 / (1 - self.rate)))
        beta = self.beta + 0 * self.bias  # the batch norm takes away what a bias adds
        parts = (_unstack(self.kernel, 3), _unstack(self.gamma), _unstack(beta), masks)
        weights = zip(*parts, strict=True)

        def convolve(x, dilation):
            kernel, *norm, mask = next(weights)
            y, mean, variance, sums = _centred(*map(ops.stop_gradient, (x, kernel)), dilation)
            moments.append((mean, variance))
            spread = ops.rsqrt(variance + self.epsilon)
            return ops.relu(_normalised(x, kernel, *norm, y, spread, sums, mask, dilation))

        return convolve


def _centred(x, kernel, dilation):
    """Convolve without bias and take off the mean; return that, mean, variance and input sums.

    The sums are over what each of the kernel's two taps meets: shape (2, channels).
    """
    total = ops.sum(ops.sum(x, axis=0), axis=0)
    last = ops.sum(ops.sum(x[-dilation:], axis=0), axis=0)
    sums = ops.stack([total - last, total])
    mean = ops.sum(ops.matmul(sums[:, None], kernel), axis=(0, 1)) / _rows(x)
    y = _convolve(x, kernel, -mean, dilation)
    return y, mean, ops.sum(ops.sum(ops.square(y), axis=0), axis=0) / _rows(x), sums


def _normalised(x, kernel, gamma, beta, y, spread, sums, mask, dilation):
    """Scale and shift a convolution as a batch norm does, and drop what the mask drops.

    ``y``, ``sums`` and ``spread``, one by the standard deviation, come from :func:`_centred`. The
    gradient is written out: what is derived from the single steps passes over the activations
    twice as often.
    """

    @ops.custom_gradient
    def normalised(x, kernel, gamma, beta):
        scale = gamma * spread

        def gradient(*arguments, upstream=None):
            g = arguments[0] if upstream is None else upstream
            to_beta = ops.sum(ops.sum(g, axis=0) * mask, axis=0)
            to_gamma = ops.sum(ops.sum(g * y, axis=0) * mask, axis=0) * spread
            slope = ops.broadcast_to(scale * spread * to_gamma / _rows(x), ops.shape(mask))
            g = g * (mask * scale) - y * slope
            # What every frame adds to the mean's gradient is the same, and is added to products.
            constant = -scale * to_beta / _rows(x)
            back = ops.transpose(kernel, (0, 2, 1))
            shifts = ops.matmul(constant[None, None], back)[:, 0]
            later = _product(g[dilation:], back[0], shifts[0])
            later = ops.concatenate([later, ops.zeros_like(x[:dilation])], axis=0)
            to_x = _product(g, back[1], shifts[1]) + later
            taps = ((x[:-dilation], g[dilation:]), (x, g))
            taps = [ops.matmul(ops.transpose(_flat(x)), _flat(g)) for x, g in taps]
            to_kernel = ops.stack(taps) + sums[..., None] * constant
            return to_x, to_kernel, to_gamma, to_beta

        return y * (mask * scale) + mask * beta, gradient

    return normalised(x, kernel, gamma, beta)


def _convolve(x, kernel, shift, dilation):
    """Add the product of each frame and that of the one ``dilation`` frames before it."""
    earlier = ops.matmul(_flat(x[:-dilation]), kernel[0])
    earlier = ops.concatenate([ops.zeros_like(x[:dilation]), _like(earlier, x)], axis=0)
    return _product(x, kernel[1], shift) + earlier


def _product(x, kernel, shift):
    """Multiply and add over the last axis, as one product of two matrices."""
    return _like(ops.matmul(_flat(x), kernel) + shift, x)


def _rows(x):
    return ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")


def _flat(x):
    return ops.reshape(x, (-1, x.shape[-1]))


def _like(flat, x):
    return ops.reshape(flat, (-1, ops.shape(x)[1], flat.shape[-1]))


def _unstack(x, axes=1):
    """Split an array along all axes but the last ones."""
    return ops.unstack(ops.reshape(x, (-1, *x.shape[-axes:])))


def uniform(limit):
    """Make initial values between minus and plus a limit."""
    return keras.initializers.RandomUniform(-limit, limit)
