"""CPAC's forward pass in NumPy, step by step as it is described, the votes written out."""

import numpy as np


def convolve(x, kernel, bias):
    """Valid convolution of (batch, height, width, channels), one kernel position at a time."""
    size = kernel.shape[0]
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    total = np.zeros((len(x), height, width, kernel.shape[3])) + bias
    for i in range(size):
        for j in range(size):
            total += np.einsum("bhwc,cf->bhwf", x[:, i : i + height, j : j + width], kernel[i, j])
    return total


def normalise(x, gamma, beta, mean, variance, epsilon=1e-3):
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


def elu(x):
    return np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)


def pool(x):
    height, width = x.shape[1] // 2, x.shape[2] // 2
    output = np.zeros((len(x), height, width, x.shape[3]))
    for i in range(2):
        for j in range(2):
            output += x[:, i : 2 * height : 2, j : 2 * width : 2] / 4
    return output


def squash(v):
    square = (v**2).sum(axis=-1, keepdims=True)
    return square / (1 + square) * v / np.sqrt(square + 1e-7)


def softmax(x, axis):
    shifted = np.exp(x - x.max(axis=axis, keepdims=True))
    return shifted / shifted.sum(axis=axis, keepdims=True)


def attend(x, scale):
    scores = np.einsum("bnd,bmd->bnm", x, x) * scale
    return np.einsum("bnm,bmd->bnd", softmax(scores, axis=2), x)


def route(x, kernel, count=6, dimension=64, routings=3):
    """Route by agreement with every vote u_hat at hand: (batch, inputs, outputs, dimension)."""
    votes = np.einsum("bni,io->bno", x, kernel).reshape(*x.shape[:2], count, dimension)
    logits = np.zeros(votes.shape[:3])
    for turn in range(routings):
        coupling = softmax(logits, axis=2)
        s = np.einsum("bnk,bnkd->bkd", coupling, votes)
        if turn < routings - 1:
            s = s / np.sqrt((s**2).sum(axis=-1, keepdims=True))
            logits = np.einsum("bkd,bnkd->bnk", s, votes)
    return squash(s)


def forward(weights, x, attention="scaled", capsules=True):
    """Probabilities from a list of weights in Keras 2's order and features (batch, frames, 39)."""
    weights = [np.asarray(weight, np.float64) for weight in weights]
    take = iter(weights)
    x = np.asarray(x, np.float64)[..., None]
    for _ in range(3):
        x = convolve(x, next(take), next(take))
        x = pool(elu(normalise(x, *(next(take) for _ in range(4)))))
    x = convolve(x, next(take), next(take))
    x = squash(x.reshape(len(x), -1, 64))
    if attention:
        x = x * attend(x, next(take) if attention == "scaled" else 1.0)
    if capsules:
        kernel = next(take)
        x = route(x, kernel.reshape(kernel.shape[-2:]))
    x = x.mean(axis=1)
    probabilities = softmax(x @ next(take) + next(take), axis=1)
    assert next(take, None) is None
    return probabilities


def randomised(model, seed=0):
    """Give a network weights that are neither zero nor one, so that all matter; return it."""
    generator = np.random.default_rng(seed)
    weights = []
    for weight in model.weights:
        if "variance" in weight.path:
            value = generator.uniform(0.3, 3, weight.shape)
        elif "kernel" in weight.path:
            fan_in = np.prod(weight.shape[:-1])
            gain = 40 if "emotion" in weight.path else 4  # embeddings are short
            value = generator.normal(0, gain / np.sqrt(fan_in), weight.shape)
        elif "gamma" in weight.path or "scale" in weight.path:
            value = generator.uniform(0.5, 1.5, weight.shape)
        else:
            value = generator.normal(0, 0.3, weight.shape)
        weights.append(value)
    model.set_weights(weights)
    return model
