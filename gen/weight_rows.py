"""The weights of a schedule, as its vectors take them from the memories."""

import math
from collections.abc import Iterable

import numpy as np

from gen.core_parameters import CoreParameters
from gen.schedule import Tensor
from models import formats

__all__ = ["WeightRows", "arranged"]


def arranged(weights: np.ndarray, source: Tensor, order: tuple[int, ...], packed: int
             ) -> np.ndarray:
    """Weights [out, in, rows, columns] with channels in the order of the memory: [places of the
    output, rows, columns, places of the input]; of a packed input, one column."""
    weights = weights[list(order)]
    if packed > 1:
        out, _, rows, _ = weights.shape
        return weights.transpose(0, 2, 3, 1).reshape(out, rows, 1, -1)
    return weights[:, list(source.order)].transpose(0, 2, 3, 1)


class WeightRows:
    """Rows of the weight memories, layer by layer.

    Parameters
    ----------
    parameters : :class:`CoreParameters`
        The core.

    Attributes
    ----------
    stored : dict of list of array
        By format, codes [rows, channels, weights of a channel], of one layer after the other.
    """

    def __init__(self, parameters: CoreParameters) -> None:
        self.parameters = parameters
        self.stored: dict[str, list[np.ndarray]] = {}

    def add(self, fmt: str, arranged: np.ndarray, *, pair: bool) -> int:
        """Stores arranged weights; gives their first row."""
        channels, wide, lanes = self.parameters.channels, self.wide(fmt), self.parameters.lanes
        out, rows, columns, places = arranged.shape
        steps = (rows, -(-columns // 2), 2) if pair else (rows, columns, -(-places // wide))
        tiles = -(-out // channels)
        padded = np.zeros((tiles * channels, rows, steps[1] * 2 if pair else columns,
                           lanes if pair else steps[2] * wide), np.int64)
        padded[:out, :, :columns, :places] = arranged
        vectors = math.prod(steps) // (2 if pair else 1)
        cut = self._in_lanes(fmt, padded.reshape(tiles, channels, vectors, wide))
        return self._store(fmt, cut.transpose(0, 2, 1, 3).reshape(-1, channels, wide))

    def _in_lanes(self, fmt: str, vectors: np.ndarray) -> np.ndarray:
        """Weights of vectors [..., activations] in the order of the lanes' words, each of which
        takes one from every part of a vector."""
        taps = self.parameters.taps(fmt)
        parts = vectors.reshape(*vectors.shape[:-1], taps, self.parameters.lanes)
        return np.swapaxes(parts, -1, -2).reshape(vectors.shape)

    def _store(self, fmt: str, values: np.ndarray) -> int:
        memory = self.stored.setdefault(fmt, [])
        first = sum(map(len, memory))
        memory.append(formats.get(fmt).encode(values))
        return first

    def wide(self, fmt: str) -> int:
        """Weights of a channel in a row of a format."""
        return self.parameters.lanes * self.parameters.taps(fmt)

    def add_identity(self, names: Iterable[str]) -> tuple[str, int, int]:
        """Format, weight and first row of weights that give each lane to a channel of its own, for
        each part of a word that is a tile."""
        parameters = self.parameters
        fmt = min(names, key=lambda name: (
            formats.get(name).values[formats.get(name).values > 0].min(), name))
        value = int(formats.get(fmt).values[formats.get(fmt).values > 0].min())
        unit = value * np.eye(parameters.wide, dtype=np.int64)
        if self.halves(fmt):
            unit = unit.reshape(2, parameters.lanes, 2, parameters.lanes).sum(2)
        rows = unit.reshape(-1, parameters.channels, self.wide(fmt))
        return fmt, value, self._store(fmt, self._in_lanes(fmt, rows))

    def halves(self, fmt: str) -> bool:
        """Whether weights of a format come one a lane where activations come two."""
        return self.parameters.taps(fmt) < self.parameters.activations
