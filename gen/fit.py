"""The array that makes the most of a budget, by the model of :mod:`gen.estimate`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth import Shape

from gen import devices
from gen.devices import Device
from gen.estimate import RESOURCES, Form, entry_of, forms, macs_per_cycle, predict, sum_range
from gen.parameters import MAX_LANES, MAX_SLICES, ArrayParameters
from gen.structures import STRUCTURES
from models.network import SCHEMES

__all__ = ["Choice", "choose", "parse_budget"]

SMALLEST_LANES = 4
"""Of the arrays that the model is of."""


def parse_budget(text: str) -> tuple[Device, float]:
    """Device and share of it of a budget such as ``xc7a100t:50%``.

    Raises
    ------
    :exc:`ValueError`
        If it is none.
    """
    name, _, percent = text.partition(":")
    device = devices.get(name)
    try:
        share = float(percent.removesuffix("%")) / 100
    except ValueError:
        share = 0.0
    if not percent.endswith("%") or not 0 < share <= 1:
        raise ValueError(f"budget must be a device and 0 to 100 % of it, as {name}:50%, "
                         f"not {text!r}")
    return device, share


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The array that makes the most of a budget.

    Parameters
    ----------
    parameters : :class:`ArrayParameters`
        The array.
    predicted : :class:`dict`
        See :func:`gen.estimate.predict`; the delay is that on the budget's device.
    budget : :class:`dict`
        Of each of :data:`RESOURCES`.
    error : :class:`dict`
        Largest share by which the model was off for arrays that it was not fitted to, of each
        resource and of ``delay_ns``. The budget has room for it.
    gmacs : :class:`float`
        10\\ :sup:`9` multiplications a second, estimated.
    binds : tuple of :class:`str`
        The resources of which one more dot product would take too many; ``slices`` if there can be
        no more.
    """

    parameters: ArrayParameters
    predicted: dict[str, float]
    budget: dict[str, float]
    error: dict[str, float]
    gmacs: float
    binds: tuple[str, ...]


def choose(model: Mapping[str, Any], scheme: str, budget: tuple[Device, float], *,
           int8_share: float = 0.0, structure: str | None = None, accumulator_bits: int = 32
           ) -> Choice:
    """The array with the most multiplications a second within a budget.

    Parameters
    ----------
    scheme : :class:`str`
        Quantization scheme.
    budget : tuple
        See :func:`parse_budget`.
    int8_share : :class:`float`
        Share of the multiplications that are by 8-bit weights, where the scheme has others as well.
    structure : :class:`str` or None
        Of this structure only.
    accumulator_bits : :class:`int`
        Width of the accumulators.

    Raises
    ------
    :exc:`ValueError`
        If the scheme is unknown, the share is not one, the model knows no array of this kind, or
        none fits.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"array scheme must be one of {', '.join(SCHEMES)}, not {scheme!r}")
    if not 0 <= int8_share <= 1:
        raise ValueError(f"share of 8-bit multiplications must be 0 to 1, not {int8_share!r}")
    known = [form for form in forms((scheme,)) if entry_of(model, form)
             and structure in (None, form.structure)]
    if not known:
        raise ValueError(f"there is no area model of structure {structure!r} for {scheme}")
    device, share = budget
    limits = {kind: share * getattr(device, kind) for kind in RESOURCES}
    scale = device.delay_scale / devices.get(model["device"]).delay_scale
    best = max((candidate for form in known for candidate in _candidates(
                    model, form, limits, scale, int8_share, accumulator_bits)),
               key=lambda candidate: candidate.gmacs, default=None)
    if best is None:
        raise ValueError(f"no {scheme} array of {SMALLEST_LANES} lanes or more fits into "
                         f"{100 * share:g} % of an {device.name}")
    return best


def _candidates(model: Mapping[str, Any], form: Form, limits: dict[str, float], scale: float,
                int8_share: float, accumulator_bits: int) -> Iterator[Choice]:
    """For each number of lanes the array with the most slices that fit."""
    entry = entry_of(model, form)
    assert entry is not None
    sums = STRUCTURES[form.structure].SUMS
    for lanes in range(SMALLEST_LANES, MAX_LANES + 1):
        fitting: tuple[ArrayParameters, dict[str, float]] | None = None
        binds: tuple[str, ...] = ("slices",)
        for slices in range(sums, MAX_SLICES + 1, sums):
            array = form.array(slices, lanes, accumulator_bits=accumulator_bits)
            predicted = predict(model, array)
            assert predicted is not None
            over = tuple(kind for kind, limit in limits.items()
                         if predicted[kind] * (1 + entry["error"][kind]) > limit)
            if over:
                binds = over
                break
            fitting = array, predicted
        if fitting is not None and Shape.cast(sum_range(fitting[0])).width <= accumulator_bits:
            array, predicted = fitting
            predicted["delay_ns"] *= scale
            yield Choice(
                parameters=array, predicted=predicted, budget=limits, error=entry["error"],
                gmacs=_macs_per_cycle(array, int8_share) / predicted["delay_ns"], binds=binds)


def _macs_per_cycle(parameters: ArrayParameters, int8_share: float) -> float:
    """On average, if such a share is by 8-bit weights."""
    rates = macs_per_cycle(parameters)
    if len(rates) == 1:
        return next(iter(rates.values()))
    return 1 / (int8_share / rates["int8"] + (1 - int8_share) / rates["pot"])
