import numpy as np
import pytest
import torch

from models import formats
from models.curvature import Curvature
from models.solve import Moments, least_squares, solve


def moments_of(x, t):
    found = Moments.empty(x.shape[1], t.shape[1])
    for part in np.array_split(np.arange(len(x)), 3):
        found.add(torch.from_numpy(x[part]).float(), torch.from_numpy(t[part]).float())
    return found


@pytest.fixture(scope="module")
def problem():
    """Correlated inputs, float weights, and what they give."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 5)) @ rng.standard_normal((5, 24)) + 0.3 * rng.standard_normal(
        (4000, 24)) + 1
    weights = rng.standard_normal((6, 24)) * 0.1
    return x, weights, x @ weights.T + rng.standard_normal(6)


def error(fit, x, t):
    y = x @ (fit.values * fit.scale[:, None]).T + fit.bias
    return ((y - t) ** 2).mean(0)


@pytest.mark.parametrize("fmt", ["int8", "pot5", "pot4", "pot3"])
@pytest.mark.parametrize("per_tensor", [False, True])
def test_beats_rounding_each_weight(problem, fmt, per_tensor):
    """A smaller output error than the nearest values at the best of the same scales."""
    x, weights, t = problem
    spec = formats.get(fmt)
    fit = solve(moments_of(x, t), weights, spec, per_tensor=per_tensor)
    assert np.isin(fit.values, spec.values).all()
    assert len(set(fit.scale)) == (1 if per_tensor else 6)
    largest = np.abs(weights).max(1)
    if per_tensor:
        largest[:] = largest.max()
    plain = []
    for factor in 2.0 ** np.linspace(-2, 0.5, 41):
        scale = largest * factor / 127
        values = spec.values[np.abs((weights / scale[:, None])[..., None]
                                    - spec.values).argmin(-1)]
        y = x @ (values * scale[:, None]).T
        plain.append(((y - y.mean(0) - t + t.mean(0)) ** 2).mean(0))
    if per_tensor:
        assert error(fit, x, t).sum() < 0.7 * np.min([row.sum() for row in plain])
    else:
        assert (error(fit, x, t) < 0.9 * np.min(plain, axis=0)).all()


def test_bias_removes_the_mean_error(problem):
    x, weights, t = problem
    fit = solve(moments_of(x, t), weights, formats.get("pot3"), per_tensor=False)
    y = x @ (fit.values * fit.scale[:, None]).T + fit.bias
    assert np.allclose(y.mean(0), t.mean(0), atol=1e-4)


def test_exact_weights_are_found():
    """Where the float weights lie on the grid, they come back."""
    rng = np.random.default_rng(1)
    values = rng.choice(formats.get("pot4").values, (3, 10))
    values[:, 0] = 128
    x = rng.standard_normal((3000, 10))
    weights = values * 0.01
    fit = solve(moments_of(x, x @ weights.T), weights, formats.get("pot4"), per_tensor=False)
    # The same weights have a code at twice the scale, too, where no value is the smallest.
    assert np.allclose(fit.values * fit.scale[:, None], weights, rtol=1e-3)


@pytest.mark.parametrize(("count", "low", "high"), [(40, 0.0, 0.4), (40000, 0.98, 1.0)])
def test_least_squares_is_taken_as_far_as_it_holds(count, low, high):
    """Noise in the targets is not fitted from few observations; what the data show is."""
    rng = np.random.default_rng(2)
    x, weights = rng.standard_normal((count, 24)), rng.standard_normal((6, 24)) * 0.1
    better = weights + rng.standard_normal(weights.shape) * 0.05
    t = x @ better.T + rng.standard_normal((count, 6))
    first, second = (moments_of(x[part], t[part]) for part in
                     (slice(count // 2), slice(count // 2, None)))
    found = least_squares((first, second), weights)
    fitted = np.linalg.lstsq(x, t, rcond=None)[0].T
    share = ((found - weights) * (fitted - weights)).sum() / ((fitted - weights) ** 2).sum()
    assert low <= share <= high
    assert ((found - better) ** 2).sum() < ((fitted - better) ** 2).sum() * 1.05


def test_least_squares_of_one_image():
    x, weights = np.ones((6, 2)), np.ones((3, 2))
    assert least_squares((Moments.empty(2, 3), moments_of(x, x @ weights.T + 1)),
                         weights) is weights


def test_dead_channel_and_dead_input():
    x = np.zeros((100, 4))
    x[:, 0] = np.arange(100)
    weights = np.array([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    fit = solve(moments_of(x, x @ weights.T), weights, formats.get("pot5"), per_tensor=False)
    assert not fit.values[1].any()
    assert (fit.scale > 0).all()
    assert np.isfinite(fit.bias).all()


def test_curvature_decides_what_counts(problem):
    """With the curvature of other inputs the error on those is smaller."""
    x, weights, t = problem
    rng = np.random.default_rng(5)
    other = rng.standard_normal((4000, 24)) * np.linspace(0.1, 3, 24)
    curvature = Curvature(torch.zeros(24), 6)
    curvature.add(torch.from_numpy(rng.standard_normal((4000, 1, 6, 1))).float(),
                  torch.from_numpy(other).float())
    plain, aware = (solve(moments_of(x, t), weights, formats.get("pot3"), per_tensor=False,
                          curvature=each) for each in (None, curvature))

    def missed(fit):
        return ((other @ (fit.values * fit.scale[:, None] - weights).T) ** 2).sum()

    assert missed(aware) < 0.8 * missed(plain)
