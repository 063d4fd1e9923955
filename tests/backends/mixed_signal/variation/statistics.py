"""z statistics of samples against what a model must have, and the moments of rectified normal numbers."""

from __future__ import annotations

import math

import numpy as np

# 14 statistics at once, a false alarm in 1 of 1,000 families.
FAMILY = 3.97


def rectified(mu, sigma):
    """Mean and variance of max(0, mu + sigma·N)."""
    a = mu / sigma
    below = 0.5 * math.erfc(-a / math.sqrt(2))
    density = math.exp(-a * a / 2) / math.sqrt(2 * math.pi)
    mean = mu * below + sigma * density
    second = (mu * mu + sigma * sigma) * below + mu * sigma * density
    return mean, second - mean * mean


def z_scores(samples, mean, variance):
    """z of the mean, and of the variance by the samples' own fourth moment: right for any distribution."""
    n = len(samples)
    squares = (samples - mean) ** 2
    return (
        (samples.mean() - mean) / math.sqrt(variance / n),
        (squares.mean() - variance) / (squares.std() / math.sqrt(n)),
    )


def normals(seed, n):
    return np.random.default_rng(seed).standard_normal(n)


def worst_z(model_samples, moments):
    """Largest |z| over pairs of samples and (mean, variance)."""
    return max(
        abs(z)
        for samples, (mean, variance) in zip(model_samples, moments, strict=True)
        for z in z_scores(samples, mean, variance)
    )
