"""The fake-quantized and the integer network compared layer by layer.

Both round the same reals to the same grids, but the fake-quantized one sums in float32 and scales
by the real ratio of scales, where integers take a multiplier and a shift: a sum close to the middle
of two codes can go to either side. Given the same input, a layer of one may differ from that of
the other by one code, seldom; what such differences add up to shows end to end.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.evaluate import Accuracy, Pixels, normalized, ranks
from models.fakequant import FakeQuantized
from models.golden import GoldenNetwork
from models.layer import QParams
from models.network import INPUT, Network

__all__ = ["Difference", "LayerComparison", "compare_layers"]

BATCH = 50


@dataclass
class Difference:
    """How far codes of the fake-quantized network are from those of the integer one.

    Parameters
    ----------
    codes, equal : :class:`int`
        Number of codes, and how many of them are the same.
    largest : :class:`int`
        The largest difference, in codes.
    """

    codes: int = 0
    equal: int = 0
    largest: int = 0

    def add(self, fake: Tensor, golden: Tensor) -> None:
        """Counts codes of the two, whole numbers of one shape."""
        distance = (fake - golden).abs()
        self.codes += distance.numel()
        self.equal += int((distance == 0).sum())
        self.largest = max(self.largest, int(distance.max()))

    @property
    def percent(self) -> float:
        """Share of equal codes, in per cent."""
        return 100 * self.equal / self.codes


@dataclass(frozen=True)
class LayerComparison:
    """One layer of the two networks.

    Parameters
    ----------
    name : :class:`str`
        The layer, or :data:`INPUT`.
    same_input : :class:`Difference`
        Of its outputs when it reads the integer network's activations. Logits count in units of
        the accumulator.
    end_to_end : :class:`Difference`
        Of its outputs when all layers before it are fake-quantized, too.
    accuracy : :class:`Accuracy`
        Of the network that computes integers up to and with this layer, and fake-quantized after.
    """

    name: str
    same_input: Difference
    end_to_end: Difference
    accuracy: Accuracy


def _params(network: Network, tensor: str) -> QParams:
    last = network.topology.nodes[-1].name
    return QParams(network.logit_scale, 0) if tensor == last else network.output(tensor)


@torch.inference_mode()
def compare_layers(network: Network, pixels: Pixels, labels: np.ndarray, *,
                   mean: tuple[float, ...], std: tuple[float, ...],
                   progress: Callable[[float], None] = lambda share: None
                   ) -> list[LayerComparison]:
    """Compares the network's input and every layer, in order of computation.

    Each layer's accuracy is an evaluation of the layers after it: the time grows with the square
    of their number.

    Parameters
    ----------
    pixels, labels : array
        Images, uint8 [N, C, H, W], or what reads them when it is sliced, and their classes [N].
    mean, std : tuple of :class:`float`
        Normalization of pixels / 255, for each channel.
    progress : callable
        Told the share of the images that is done.
    """
    golden, fake = GoldenNetwork(network), FakeQuantized(network)
    order = network.topology.order
    names = [INPUT, *(node.name for node in order)]
    params = {name: _params(network, name) for name in names}
    same, apart = ({name: Difference() for name in names} for _ in range(2))
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}

    def codes(name: str, real: Tensor) -> Tensor:
        return torch.round(real.double() / params[name].scale) + params[name].zero_point

    for start in range(0, len(labels), BATCH):
        part = slice(start, start + BATCH)
        read = pixels[part]
        integers = golden.run(read, keep=names)
        end_to_end = fake.run(normalized(read, mean, std))
        real = {name: ((q.double() - params[name].zero_point) * params[name].scale).float()
                for name, q in integers.items()}
        for i, name in enumerate(names):
            here = end_to_end[name] if name == INPUT else fake.compute(order[i - 1], real)
            same[name].add(codes(name, here), integers[name])
            apart[name].add(codes(name, end_to_end[name]), integers[name])
            tensors = {tensor: real[tensor] for tensor in names[:i + 1]}
            for node in order[i:]:
                tensors[node.name] = fake.compute(node, tensors)
            scores = tensors if i < len(order) else integers
            found[name].append(ranks(scores[names[-1]].flatten(1), labels[part]))
        progress(min(start + BATCH, len(labels)) / len(labels))
    return [LayerComparison(name, same[name], apart[name], Accuracy(np.concatenate(found[name])))
            for name in names]
