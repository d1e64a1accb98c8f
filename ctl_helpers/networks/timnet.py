"""TIM-Net: dilated causal convolutions in both directions of time, for MFCC as they are.

The network is the released one up to floating-point rounding. What is fast about it is that a
convolution is one matrix product, and that the gradient of convolution and batch norm is written
out, so that the large activations are passed over as seldom as possible.
"""

import keras
from keras import layers, ops

from ctl_helpers.networks.capsules import package


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

    def compute_output_shape(self, input_shape):
        """(batch, channels)."""
        return (input_shape[0], input_shape[2])


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
    The weights of all convolutions are stacked along axes (level, direction, first or second),
    with the kernel's two frames below each other: earlier frame, then the present one.
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
        self.kernel = self.add_weight((*stack, 2 * channels, channels), glorot, name="kernel")
        shape = (*stack, channels)
        self.bias = self.add_weight(shape, "zeros", name="bias")
        self.gamma = self.add_weight(shape, "ones", name="gamma")
        self.beta = self.add_weight(shape, "zeros", name="beta")
        self.moving_mean = self.add_weight(shape, "zeros", trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, "ones", trainable=False, name="moving_variance"
        )

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
            self._learn(*map(ops.stack, zip(*moments, strict=True)))
        return ops.stack(vectors, axis=1) * (1 / inputs.shape[1])

    def _inference(self):
        scale = self.gamma * ops.rsqrt(self.moving_variance + self.epsilon)
        shifts = _unstack(self.beta + (self.bias - self.moving_mean) * scale)
        weights = zip(_unstack(self.kernel * scale[..., None, :], 2), shifts, strict=True)

        def convolve(x, dilation):
            kernel, shift = next(weights)
            return ops.relu(_product(_pairs(x, dilation), kernel, shift))

        return convolve

    def _training(self, batch, moments):
        shape = (*self.bias.shape[:3], batch, self.channels)
        kept = keras.random.uniform(shape, seed=self.seed_generator) >= self.rate
        masks = _unstack(ops.cast(kept, "float32") * (1 / (1 - self.rate)), 2)
        beta = self.beta + 0 * self.bias  # the batch norm takes away what a bias adds
        weights = zip(_unstack(self.kernel, 2), _unstack(self.gamma), _unstack(beta), masks)

        def convolve(x, dilation):
            kernel, *norm, mask = next(weights)
            y, mean, variance = _centred(*map(ops.stop_gradient, (x, kernel)), dilation)
            moments.append((mean, variance))
            spread = ops.rsqrt(variance + self.epsilon)
            return ops.relu(_normalised(x, kernel, *norm, y, spread, mask, dilation))

        return convolve

    def _learn(self, mean, variance):
        mean, variance = (ops.reshape(x, self.bias.shape) for x in (mean, variance))
        for moving, value in (
            (self.moving_mean, mean + self.bias),
            (self.moving_variance, variance),
        ):
            moving.assign(self.momentum * moving + (1 - self.momentum) * value)

    def compute_output_shape(self, input_shape):
        """(batch, levels, channels)."""
        return (input_shape[0], self.levels, self.channels)

    def get_config(self):
        """Return the settings to save."""
        names = ("channels", "levels", "rate", "epsilon", "momentum")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _centred(x, kernel, dilation):
    """Convolve without bias; return the result less its mean, the mean, and the variance."""
    rows = ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")
    total = ops.sum(x, axis=(0, 1))
    early = total - ops.sum(x[max(0, x.shape[0] - dilation) :], axis=(0, 1))
    mean = ops.matmul(ops.concatenate([early, total])[None], kernel)[0] / rows
    y = _product(_pairs(x, dilation), kernel, -mean)
    return y, mean, ops.sum(ops.square(y), axis=(0, 1)) / rows


def _normalised(x, kernel, gamma, beta, y, spread, mask, dilation):
    """Scale and shift a convolution as a batch norm does, and drop what the mask drops.

    ``y`` is the convolution of ``x`` by ``kernel`` less its mean, and ``spread`` one by its
    standard deviation. The gradient is written out, since what is derived from the steps passes
    over the activations twice as often.
    """

    @ops.custom_gradient
    def normalised(x, kernel, gamma, beta):
        def gradient(*arguments, upstream=None):
            g = arguments[0] if upstream is None else upstream
            rows = ops.cast(ops.shape(x)[0] * ops.shape(x)[1], "float32")
            to_beta = ops.sum(ops.sum(g, axis=0) * mask, axis=0)
            to_gamma = ops.sum(ops.sum(g * y, axis=0) * mask, axis=0) * spread
            slope = ops.broadcast_to(gamma * spread**2 * to_gamma / rows, ops.shape(mask))
            # Every frame's share in the mean is the same: it is added to the products' results.
            constant = -gamma * spread * to_beta / rows
            g = g * (mask * (gamma * spread)) - y * slope
            outside = ops.broadcast_to(-constant, ops.shape(g[:dilation]))
            later = ops.concatenate([g[dilation:], outside], axis=0)
            pairs = ops.concatenate([later, g], axis=-1)
            taps = ops.transpose(ops.reshape(kernel, (2, -1, kernel.shape[1])), (0, 2, 1))
            shift = ops.matmul(constant[None], ops.sum(taps, axis=0))[0]
            to_x = _product(pairs, ops.reshape(taps, (-1, x.shape[2])), shift)
            to_taps = ops.matmul(ops.transpose(_flat(x)), _flat(pairs))
            to_taps = to_taps + ops.sum(x, axis=(0, 1))[:, None] * ops.tile(constant, 2)
            to_kernel = ops.concatenate(ops.split(to_taps, 2, axis=1), axis=0)
            return to_x, to_kernel, to_gamma, to_beta

        return y * (mask * (gamma * spread)) + mask * beta, gradient

    return normalised(x, kernel, gamma, beta)


def _pairs(x, dilation):
    """Put each frame beside the one ``dilation`` frames before it, nought before the first."""
    earlier = ops.concatenate([ops.zeros_like(x[:dilation]), x[:-dilation]], axis=0)
    return ops.concatenate([earlier, x], axis=-1)


def _product(x, kernel, shift):
    """Multiply and add over the last axis, as one product of two matrices."""
    flat = ops.matmul(_flat(x), kernel) + shift
    return ops.reshape(flat, (x.shape[0], -1, kernel.shape[1]))


def _flat(x):
    return ops.reshape(x, (-1, x.shape[-1]))


def _unstack(x, axes=1):
    """Split an array along all axes but the last ones."""
    return ops.unstack(ops.reshape(x, (-1, *x.shape[-axes:])))


def uniform(limit):
    """Initial values between minus and plus a limit."""
    return keras.initializers.RandomUniform(-limit, limit)
