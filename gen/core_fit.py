# amaranth: UnusedElaboratable=no
"""The core that computes the most images of a network a second within a budget: exact cycles, and
the models of :mod:`gen.core_estimate` for the rest."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from gen import devices
from gen.core import Core
from gen.core_estimate import block_memories, control_delay, least_block_memories, predict
from gen.core_parameters import CHANNELS, GROUPS, LANES, CoreParameters, core_for
from gen.devices import Device
from gen.estimate import RESOURCES, entry_of, forms, macs_per_cycle
from gen.estimate import predict as predict_array
from gen.structures import STRUCTURES
from models.network import Network

__all__ = ["CoreChoice", "choose_core"]


@dataclass(frozen=True, kw_only=True)
class CoreChoice:
    """The core that makes the most of a budget.

    Parameters
    ----------
    parameters : :class:`CoreParameters`
        The core.
    predicted : :class:`dict`
        LUTs, flip-flops, DSPs, block memories, and ``delay_ns`` on the budget's device.
    budget : :class:`dict`
        Of each of ``gen.estimate.RESOURCES``.
    error : :class:`dict`
        Largest share by which the model was off for cores that it was not fitted to, of each
        resource and of ``delay_ns``. The budget has room for it.
    cycles : :class:`int`
        Cycles of an image.
    images_per_second : :class:`float`
        At the clock that is predicted.
    binds : tuple of :class:`str`
        The resources of which the next faster core takes too many; ``pes`` if there is none.
    """

    parameters: CoreParameters
    predicted: dict[str, float]
    budget: dict[str, float]
    error: dict[str, float]
    cycles: int
    images_per_second: float
    binds: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A core, and the most images a second that it could compute."""

    parameters: CoreParameters
    most: float
    over: tuple[str, ...]


def choose_core(model: Mapping[str, Any], areas: Mapping[str, Any], network: Network,
                budget: tuple[Device, float], *, structure: str | None = None,
                weights: str = "rom") -> CoreChoice:
    """The core with the most images a second within a budget.

    Parameters
    ----------
    model, areas : :class:`dict`
        Those of ``gen.core_estimate`` and ``gen.estimate``.
    budget : tuple
        See ``gen.fit.parse_budget``.
    structure : :class:`str` or None
        Of this structure only.
    weights : :class:`str`
        As of :class:`CoreParameters`.

    Raises
    ------
    :exc:`ValueError`
        If the models know no core of this kind, or none fits: what the smallest lacks, or why there
        is none.
    """
    device, share = budget
    limits = {kind: share * getattr(device, kind) for kind in RESOURCES}
    scale = device.delay_scale / devices.get(model["device"]).delay_scale
    candidates = sorted(_candidates(model, areas, network, limits, structure, weights, scale),
                        key=lambda candidate: -candidate.most)
    if not candidates:
        raise ValueError(f"there is no area model of structure {structure!r} for "
                         f"{network.scheme}")
    best: CoreChoice | None = None
    faster: list[tuple[float, tuple[str, ...]]] = []
    refused = None
    for candidate in candidates:
        if best is not None and candidate.most <= best.images_per_second:
            break
        if candidate.over:
            faster.append((candidate.most, candidate.over))
            continue
        try:
            core = Core(network, candidate.parameters)
        except ValueError as error:
            refused = error
            continue
        predicted = predict(model, areas, core)
        predicted["delay_ns"] *= scale
        speed = 1e9 / predicted["delay_ns"] / core.image_cycles
        if best is not None and speed <= best.images_per_second:
            continue
        over = _over(predicted, model["error"], limits)
        if least_block_memories(core) > limits["bram36"]:
            over = (*over, "bram36")
        if not over:
            # Last, as it takes the longest.
            predicted["bram36"] = block_memories(core, family=device.family)
            over = ("bram36",) * (predicted["bram36"] > limits["bram36"])
        if over:
            faster.append((speed, over))
            continue
        best = CoreChoice(
            parameters=candidate.parameters, predicted=predicted, budget=limits,
            error=model["error"], cycles=core.image_cycles, images_per_second=speed, binds=())
    if best is None:
        if not faster:
            raise refused or ValueError(f"there is no core for {network.scheme}")
        raise ValueError(f"no core for this network fits into {100 * share:g} % of an "
                         f"{device.name}: even the slowest takes too many "
                         f"{', '.join(min(faster)[1])}")
    speeds = [entry for entry in faster if entry[0] > best.images_per_second]
    return CoreChoice(**{**vars(best), "binds": min(speeds)[1] if speeds else ("pes",)})


def _over(predicted: Mapping[str, float], error: Mapping[str, float],
          limits: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(kind for kind, limit in limits.items()
                 if predicted.get(kind, 0) * (1 + error[kind]) > limit)


def _candidates(model: Mapping[str, Any], areas: Mapping[str, Any], network: Network,
                limits: dict[str, float], structure: str | None, weights: str, scale: float
                ) -> Iterator[_Candidate]:
    """Cores of all structures and sizes. What only their arrays take, and the cycles in which all
    PEs are busy, need no schedule."""
    for form in forms((network.scheme,)):
        if (asdict(form) not in model["forms"] or entry_of(areas, form) is None
                or structure not in (None, form.structure)):
            continue
        for groups in GROUPS:
            for channels in CHANNELS:
                if channels % STRUCTURES[form.structure].SUMS:
                    continue
                parameters = core_for(network, LANES * channels * groups, groups=groups,
                                      weights=weights, **asdict(form))
                predicted = predict_array(areas, parameters.array)
                assert predicted is not None
                dsp = form.dsp
                arrays = {kind: groups * predicted[kind] * model[kind]["arrays"][dsp]
                          for kind in ("lut", "ff", "dsp")}
                delay = max(predicted["delay_ns"], control_delay(model, 0))
                yield _Candidate(parameters=parameters,
                                 most=1e9 / (delay * scale) / _busy(network, parameters),
                                 over=_over(arrays, model["error"], limits))


def _busy(network: Network, parameters: CoreParameters) -> float:
    """Cycles of an image if all PEs were busy in all of them."""
    rates = macs_per_cycle(parameters.array)
    return sum(network.topology.macs(name) / (parameters.groups * rates[
        "int8" if fmt == "int8" else "pot"]) for name, fmt in network.formats.items())
