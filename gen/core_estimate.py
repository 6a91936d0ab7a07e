# amaranth: UnusedElaboratable=no
"""What a core will take: its arrays as ``gen.estimate`` says, its block memories as yosys maps
them, and all else from a model of measured syntheses, module by module.

``benchmarks/core_model.py`` fits it; :data:`MODEL`, the file, says how well it predicts cores that
it was not fitted to. Cycles need no model: they are those of the schedule.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth import Shape

from gen import block_memory, estimate
from gen.core import Core
from gen.weights import CHUNK
from gen.writer import LUT_ROWS
from models import formats

__all__ = ["DELAY_FEATURES", "FEATURES", "MODEL", "PARTS", "SCHEMA", "block_memories",
           "control_delay", "features", "least_block_memories", "load", "predict"]

MODEL = Path(__file__).resolve().parent / "core_model.json"
SCHEMA = 1
PARTS = ("arrays", "requantizers", "writer", "weights", "sequencer", "rest")
"""Parts of a core that are counted apart: its modules, ``rest`` all that are not named."""
FEATURES = {
    "arrays": ("predicted", "predicted with DSPs"),
    "requantizers": ("units", "multiplier bits", "shifter bits", "units with DSPs"),
    "writer": ("one", "set bits", "moved set bits"),
    "weights": ("word bits", "further formats' bits", "passes' word bits", "chunk selectors"),
    "sequencer": ("one", "address bits", "groups"),
    "rest": ("one", "vector bits", "crossbar bits", "residual bits", "selected bits",
             "writable parts", "program bits", "loaded bits"),
}
BLOCK_BITS = 36 << 10
RESIDUAL_BITS = 9
DELAY_FEATURES = ("one", "crossbar bits")


def features(core: Core, areas: Mapping[str, Any], kind: str) -> dict[str, tuple[float, ...]]:
    """Counts that what each of :data:`PARTS` takes of a resource is proportional to, nearly: those
    of :data:`FEATURES`.

    ``predicted`` is what the model ``areas`` of ``gen.estimate`` says of the arrays. A requantizer
    has a multiplier of the accumulator by 16 bits, and shifters in as many steps as its shifts
    need. A *set* is what the arrays give at a time, with residuals; *moved* are those that wait for
    a requantizer. *Words* are weights as the arrays take them; a weight memory is read in *chunks*.
    *Vectors* are what enters the arrays in a cycle; the *crossbar* selects them from the banks;
    residuals of a set are *selected* out of words.

    Raises
    ------
    :exc:`ValueError`
        If ``areas`` has no arrays of this form.
    """
    parameters, schedule, ranges = core.parameters, core.schedule, core.ranges
    array, groups, channels = parameters.array, parameters.groups, parameters.channels
    predicted = estimate.predict(areas, array)
    if predicted is None:
        raise ValueError(f"there is no area model of structure {array.structure!r} for "
                         f"{array.scheme} as in this core")
    units = groups * parameters.requantizers
    steps = [max(1, math.log2(max(len(shifts), 2)))
             for shifts in (ranges.shifts, ranges.residual_shifts)]
    vector = groups * 8 * parameters.wide * parameters.activations
    encodings = [array.encoding(name) for name in schedule.weights]
    words = (channels * parameters.lanes
             * Shape.cast(core.arrays[0].slices[0].dot.weight_shape).width)
    chunks = [(content.bits, -(-len(content.rows) // CHUNK))
              for content in core.weights.contents.values()]
    formats_bits = [formats.get(name).bits for name in schedule.weights]
    channel_bits = array.accumulator_bits + RESIDUAL_BITS
    plain = not array.dsp
    return {
        "arrays": (groups * predicted[kind] * plain, groups * predicted[kind] * array.dsp),
        "requantizers": (units * plain, units * ranges.accumulator * 16 * plain,
                         units * ranges.total * sum(steps), units * array.dsp),
        "writer": (1, groups * channels * channel_bits,
                   groups * (channels - parameters.requantizers) * channel_bits),
        "weights": (words,
                    channels * parameters.lanes * (sum(formats_bits) - max(formats_bits)),
                    words * any(encoding.passes > 1 for encoding in encodings),
                    # A LUT selects one of up to three.
                    sum(bits * max(1, 2 / 3 * (count - 1)) for bits, count in chunks
                        if count > 1)),
        "sequencer": (1, schedule.banks * max(1, (schedule.depth - 1).bit_length()), groups),
        "rest": (1, vector, vector * schedule.banks * (schedule.banks > 1),
                 groups * channels * RESIDUAL_BITS,
                 groups * channels * 8 * max(0, core.parts - 2),
                 schedule.banks * core.parts,
                 len(core.program) * Shape.cast(core.op).width,
                 32 * max(content.words for content in core.contents.values())
                 if core.loader else 0),
    }


def control_delay(model: Mapping[str, Any], crossbar_bits: float) -> float:
    """Delay in ns of the slowest path outside the arrays, from :data:`DELAY_FEATURES`."""
    return _total(model["delay_ns"], (1, crossbar_bits))


def _memories(core: Core) -> list[dict[str, int]]:
    """Sizes of the block memories of weights, biases and multipliers."""
    found = []
    for name, content in core.contents.items():
        depth, constants = len(content.rows), name == "constants"
        if constants and depth <= LUT_ROWS:
            continue
        chunk = depth if constants else CHUNK
        found += [{"width": content.bits, "depth": min(chunk, depth - first)}
                  for first in range(0, depth, chunk)]
    return found


def block_memories(core: Core, *, family: str = "xc7") -> float:
    """Block memories (RAMB36) of a core: those of activations, weights, biases and multipliers."""
    found = core.schedule.banks * block_memory.written_blocks(
        width=8 * core.parameters.wide, depth=core.schedule.depth, parts=core.parts, family=family)
    for size in _memories(core):
        found += block_memory.written_blocks(**size, family=family) if core.loader \
            else block_memory.rom_blocks(**size)
    return found


def least_block_memories(core: Core) -> float:
    """Fewer than :func:`block_memories`, or as many, without asking yosys."""
    return (core.schedule.activation_bits / BLOCK_BITS
            + sum(size["width"] * size["depth"] / BLOCK_BITS if core.loader
                  else block_memory.rom_blocks(**size) for size in _memories(core)))


def load(path: Path = MODEL) -> dict[str, Any]:
    """The model in the file ``path``.

    Raises
    ------
    :exc:`ValueError`
        As :func:`gen.estimate.read_model`.
    """
    return estimate.read_model(path, "doubleq bench network", {
        "schema": SCHEMA, "delay_features": list(DELAY_FEATURES),
        "features": {part: list(names) for part, names in FEATURES.items()}})


def _total(factors: list[float], values: tuple[float, ...]) -> float:
    return sum(factor * value for factor, value in zip(factors, values, strict=True))


def predict(model: Mapping[str, Any], areas: Mapping[str, Any], core: Core) -> dict[str, float]:
    """What a core takes on the device of ``model``, but for its block memories: LUTs, flip-flops,
    DSPs, and ``delay_ns``, the estimate of ``gen.synth``. ``areas`` is the model of
    ``gen.estimate``.

    Raises
    ------
    :exc:`ValueError`
        As :func:`features`.
    """
    found: dict[str, float] = {}
    for kind in ("lut", "ff", "dsp"):
        counts = features(core, areas, kind)
        found[kind] = sum(_total(model[kind][part], counts[part]) for part in PARTS)
    crossbar = dict(zip(FEATURES["rest"], counts["rest"], strict=True))["crossbar bits"]
    array = estimate.predict(areas, core.parameters.array)
    assert array is not None
    return {**found, "delay_ns": max(array["delay_ns"], control_delay(model, crossbar))}
