# amaranth: UnusedElaboratable=no
"""The knobs of a core, the accelerator of a whole network."""

from dataclasses import dataclass, replace
from typing import Any

from gen.dot import sum_bits
from gen.export import required_accumulator_bits
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from models import codes
from models.network import Network

__all__ = ["CHANNELS", "GROUPS", "LANES", "WEIGHTS", "CoreParameters", "core_for", "core_from_pes"]

WEIGHTS = ("rom", "load")

LANES, CHANNELS, GROUPS = 16, (16, 8, 4, 2, 1), range(1, 17)
"""Sizes of the cores that a number of PEs stands for."""


@dataclass(frozen=True, kw_only=True)
class CoreParameters:
    """The knobs of a core.

    A core has ``groups`` arrays that work on neighbouring pixels of a row with the same weights.

    Parameters
    ----------
    array : :class:`ArrayParameters`
        One array. Its slices are the output channels computed at a time.
    groups : :class:`int`
        Arrays, 1 to 16.
    requantizers : :class:`int`
        Output channels of each group requantized in a cycle; a divisor of the slices.
    weights : :class:`str`
        ``rom``: fixed at synthesis; ``load``: written through a port.

    Raises
    ------
    :exc:`ValueError`
        If a knob is out of range or unknown.
    """

    array: ArrayParameters
    groups: int = 1
    requantizers: int = 1
    weights: str = "rom"

    def __post_init__(self) -> None:
        if type(self.groups) is not int or self.groups not in GROUPS:
            raise ValueError(f"core groups must be an integer from 1 to {max(GROUPS)}, "
                             f"not {self.groups!r}")
        if type(self.requantizers) is not int or self.requantizers < 1 \
                or self.channels % self.requantizers:
            raise ValueError(f"core requantizers must be a divisor of the {self.channels} slices "
                             f"of an array, not {self.requantizers!r}")
        if self.weights not in WEIGHTS:
            raise ValueError(f"core weights must be one of {', '.join(WEIGHTS)}, "
                             f"not {self.weights!r}")
        if self.wide % self.channels:
            raise ValueError(f"core array slices must be a divisor of the {self.wide} activations "
                             f"that enter an array, not {self.channels}")

    @property
    def pes(self) -> int:
        """PEs of all arrays."""
        return self.groups * self.array.pes

    @property
    def channels(self) -> int:
        """Output channels computed at a time."""
        return self.array.slices

    @property
    def lanes(self) -> int:
        """Lanes of a slice."""
        return self.array.lanes

    @property
    def activations(self) -> int:
        """Activations of a lane."""
        return STRUCTURES[self.array.structure].ACTIVATIONS

    @property
    def wide(self) -> int:
        """Activations in a word of the activation memory: those that enter an array at a time."""
        return self.lanes * self.activations

    def taps(self, format: str) -> int:
        """Weights of one lane that enter at a time."""
        return codes.get(self.array.encoding(format).code).taps


def core_from_pes(pes: int, *, groups: int | None = None, weights: str = "rom", **array: Any
                  ) -> CoreParameters:
    """A core of ``pes`` PEs: 16 lanes, as many channels as there can be up to 16, and groups for
    the rest.

    Parameters
    ----------
    groups : :class:`int` or None
        Groups, where not the fewest.
    array
        Other knobs of :class:`ArrayParameters`.

    Raises
    ------
    :exc:`ValueError`
        If there is no such core.
    """
    choices = [(channels, count) for channels in CHANNELS
               for count in ([groups] if groups else GROUPS)
               if LANES * channels * count == pes]
    if not choices:
        raise ValueError(
            f"core pes must be {LANES} lanes times 1, 2, 4, 8 or 16 channels times "
            f"{groups or f'1 to {max(GROUPS)}'} groups, not {pes!r}")
    channels, count = choices[0]
    parameters = ArrayParameters(slices=channels, lanes=LANES, **array)
    return CoreParameters(array=parameters, groups=count, requantizers=min(4, channels),
                          weights=weights)


def core_for(network: Network, pes: int, **knobs: Any) -> CoreParameters:
    """As :func:`core_from_pes`, for the scheme of ``network``, with accumulators as narrow as the
    network and the structure allow; a bit more where weights are loaded, for those of another.

    Raises
    ------
    :exc:`ValueError`
        If there is no such core.
    """
    core = core_from_pes(pes, **{"scheme": network.scheme, **knobs})
    array = core.array
    dot = STRUCTURES[array.structure](
        scheme=array.scheme, lanes=array.lanes, tree=array.tree, target=array.target,
        dsp=array.dsp, pipeline=array.pipeline)
    bits = max(16, sum_bits(dot), required_accumulator_bits(network) + (core.weights == "load"))
    return replace(core, array=replace(array, accumulator_bits=bits))
