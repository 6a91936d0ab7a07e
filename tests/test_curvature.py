import numpy as np
import torch
from networks import MEAN, STD, every_op, float_network, random_pixels

from models import curvature
from models.curvature import DIRECTIONS, Curvature, gradients
from models.evaluate import normalized
from models.network import INPUT

IMAGES = 3


@torch.no_grad()
def test_gradients_are_slopes_of_the_logits():
    """A small change e of an output moves the logits along each direction by Σ g·e."""
    topology = every_op()
    network, order, node = float_network(topology), topology.order, topology["conv3"]
    tensors = {INPUT: normalized(random_pixels(topology.input_shape, images=IMAGES), MEAN, STD)}
    for each in order[:order.index(node)]:
        tensors[each.name] = network.compute(each, tensors)
    y = network.compute(node, tensors)
    e = 1e-3 * torch.randn(y.shape, generator=torch.Generator().manual_seed(0))

    def logits(y):
        live = {**tensors, node.name: y}
        for later in order[order.index(node) + 1:]:
            live[later.name] = network.compute(later, live)
        return live[later.name].flatten(1)

    g = gradients(network, node, y, tensors, np.random.default_rng(0))
    moved = logits(y + e) - logits(y)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (DIRECTIONS, *moved.shape))
    directions = torch.from_numpy(signs - signs.mean(2, keepdims=True)).float()
    expected = torch.einsum("nc,knc->nk", moved, directions)
    assert expected.abs().max() > 1e-4
    assert torch.allclose((g * e[:, None]).sum((2, 3, 4)), expected, rtol=0.02, atol=1e-6)


def test_hessian_is_the_mean_square_of_what_reaches_the_logits(monkeypatch):
    rng = np.random.default_rng(0)
    g, x, mean = rng.standard_normal((7, 2, 3, 4)), rng.standard_normal((7, 4, 5)), rng.random(5)
    found = Curvature(torch.from_numpy(mean).float(), 3)
    for images in (slice(0, 4), slice(4, 7)):
        found.add(torch.from_numpy(g[images]).float(),
                  torch.from_numpy(x[images].reshape(-1, 5)).float())
    d = rng.standard_normal(5)
    reached = (np.einsum("nkop,np->nko", g, (x - mean) @ d) ** 2).sum((0, 1))
    size = (g ** 2).sum((0, 1, 3))
    covariance = np.diag(rng.random(5))
    for shares, expected in [((0, 0, 1), reached / size),
                             ((0, 1, 0), np.full(3, reached.sum() / size.sum())),
                             ((1, 0, 0), np.full(3, d @ covariance @ d))]:
        for name, share in zip(("COVARIANCE", "LAYER", "CHANNEL"), shares, strict=True):
            monkeypatch.setattr(curvature, name, share)
        for channel in range(3):
            assert np.isclose(d @ found.hessian(channel, covariance) @ d, expected[channel],
                              rtol=1e-4)


def test_independent_pixels_give_the_covariance():
    """Where errors neither add up nor cancel, they count as in the layer's own error."""
    rng = np.random.default_rng(1)
    found = Curvature(torch.zeros(4), 2)
    g = rng.standard_normal((4000, 1, 2, 8))
    x = rng.standard_normal((32000, 4)) @ rng.standard_normal((4, 4))
    found.add(torch.from_numpy(g).float(), torch.from_numpy(x).float())
    covariance = x.T @ x / len(x)
    for channel in range(2):
        difference = found.hessian(channel, covariance) - covariance
        assert np.linalg.norm(difference) < 0.1 * np.linalg.norm(covariance)


def test_channel_without_influence():
    found = Curvature(torch.zeros(2), 1)
    found.add(torch.zeros(1, 1, 1, 4), torch.ones(4, 2))
    assert (found.hessian(0, np.eye(2)) == np.eye(2)).all()
