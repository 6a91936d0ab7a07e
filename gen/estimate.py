# amaranth: UnusedElaboratable=no
"""What an array will take, from a model of measured syntheses.

For each form of an array (:class:`Form`) the model has what a unit of each feature takes of each
resource (:func:`features`), and what it adds to the delay of the slowest paths
(:func:`delay_features`). ``benchmarks/area_model.py`` fits it; :data:`MODEL`, the file, says how
well it predicts arrays that it was not fitted to.
"""

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from amaranth import Shape

from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from gen.tree import AdderTree
from models.network import SCHEMES

__all__ = ["DELAY_FEATURES", "FEATURES", "MODEL", "RESOURCES", "SCHEMA", "Form", "delay_features",
           "entry_of", "features", "forms", "load", "macs_per_cycle", "predict", "read_model",
           "sum_range"]

MODEL = Path(__file__).resolve().parent / "area_model.json"
SCHEMA = 1
RESOURCES = ("lut", "ff", "dsp", "bram36")
FEATURES = ("latency", "columns", "lanes", "terms", "first adder bits", "adder bits",
            "register bits", "accumulator bits")
DELAY_FEATURES = ("one", "log2 slices", "log2 lanes", "second addend")


@dataclass(frozen=True, kw_only=True)
class Form:
    """What arrays of different sizes have in common.

    Parameters
    ----------
    scheme, structure, tree, target, dsp
        As of :class:`ArrayParameters`.
    """

    scheme: str
    structure: str
    tree: str
    target: str
    dsp: bool

    def array(self, slices: int, lanes: int, **options: Any) -> ArrayParameters:
        """An array of this form."""
        return ArrayParameters(**asdict(self), slices=slices, lanes=lanes, **options)


def forms(schemes: tuple[str, ...] = SCHEMES) -> list[Form]:
    """The smallest form of each structure for each scheme: mapped by hand with ternary adders where
    that exists, and with as well as without DSPs."""
    found = []
    for scheme in schemes:
        for name, structure in STRUCTURES.items():
            mapped = "xc7" in structure.TARGETS
            for dsp in structure.DSP if scheme in structure.ENCODINGS else ():
                if not dsp or "int8" in structure.ENCODINGS[scheme]:
                    found.append(Form(scheme=scheme, structure=name, dsp=dsp,
                                      tree="ternary" if mapped else "binary",
                                      target="xc7" if mapped else "portable"))
    return found


def macs_per_cycle(parameters: ArrayParameters) -> dict[str, float]:
    """Multiplications of a weight and an activation that an array does in a cycle, by the weights:
    ``int8``, ``pot`` (powers of two), or both."""
    return {"int8" if name == "int8" else "pot":
            parameters.pes * encoding.taps / encoding.passes
            for name, encoding in parameters.encodings.items()}


@dataclass(frozen=True)
class _Counts:
    """What there is once in an array, and what there is in each of its dot products."""

    latency: int
    columns: int
    addends: int
    values: range
    each: tuple[int, ...]


@functools.cache
def _counts(form: Form, lanes: int) -> _Counts:
    array = form.array(STRUCTURES[form.structure].SUMS, lanes)
    dot = STRUCTURES[form.structure](
        scheme=form.scheme, lanes=lanes, tree=form.tree, target=form.target, dsp=form.dsp,
        pipeline=array.pipeline)
    trees = [part for value in vars(dot).values()
             for part in (value if isinstance(value, list) else [value])
             if isinstance(part, AdderTree)]
    terms = first = adders = registers = 0
    for tree in trees:
        terms += len(tree.input_ranges)
        for number, level in enumerate(tree.plan, 1):
            bits = sum(_width(values) for values, arity in
                       zip(level.ranges, level.arities, strict=True) if arity > 1)
            adders += bits
            first += bits * (number == 1)
            if tree.pipeline and number % tree.pipeline == 0:
                registers += sum(map(_width, level.ranges)) + level.carries
    return _Counts(latency=dot.latency + 1, columns=lanes, addends=len(dot.addend_ranges),
                   values=dot.range, each=(array.pes, terms, first, adders, registers))


def _width(values: range) -> int:
    return Shape.cast(values).width


def _form(parameters: ArrayParameters) -> Form:
    return Form(**{field.name: getattr(parameters, field.name) for field in fields(Form)})


def features(parameters: ArrayParameters) -> tuple[float, ...]:
    """Counts that the area of an array of one form is proportional to, nearly: those of
    :data:`FEATURES`.

    ``latency`` is in cycles, and ``columns`` are lanes that all slices share: there are registers
    of their activations. The others are of all slices together: lanes, terms of the adder trees,
    bits that their first adders compute, which DSPs may take in, those that all of them compute,
    those that their registers hold, and bits of the accumulators.
    """
    counts = _counts(_form(parameters), parameters.lanes)
    dots = parameters.slices // parameters.sums
    return (counts.latency, counts.columns, *(dots * count for count in counts.each),
            parameters.slices * parameters.accumulator_bits)


def delay_features(parameters: ArrayParameters) -> tuple[float, ...]:
    """What the delay of a slowest path is proportional to, nearly: :data:`DELAY_FEATURES`. An
    accumulator of two addends is slower than that of one."""
    counts = _counts(_form(parameters), parameters.lanes)
    return 1, math.log2(parameters.slices), math.log2(parameters.lanes), counts.addends - 1


def sum_range(parameters: ArrayParameters) -> range:
    """Values of the sum of a vector."""
    return _counts(_form(parameters), parameters.lanes).values


def read_model(path: Path, command: str, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The model in the file ``path``, which ``command`` writes and which has the entries
    ``expected``.

    Raises
    ------
    :exc:`ValueError`
        If it is missing, damaged, or of another version.
    """
    remedy = f"expected what '{command} --model {path.name}' writes"
    try:
        model = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}, {remedy}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {remedy}, found {error}") from None
    if not isinstance(model, dict) or not expected.items() <= model.items():
        raise ValueError(f"{path}: {remedy}, with {expected}")
    return model


def load(path: Path = MODEL) -> dict[str, Any]:
    """The model in the file ``path``.

    Raises
    ------
    :exc:`ValueError`
        As :func:`read_model`.
    """
    return read_model(path, "doubleq bench area", {
        "schema": SCHEMA, "features": list(FEATURES), "delay_features": list(DELAY_FEATURES)})


def entry_of(model: Mapping[str, Any], form: Form) -> dict[str, Any] | None:
    """What the model says of a form, if anything."""
    knobs = asdict(form)
    return next((entry for entry in model["forms"] if entry["form"] == knobs), None)


def predict(model: Mapping[str, Any], parameters: ArrayParameters) -> dict[str, float] | None:
    """What an array takes on the device of ``model``: each of :data:`RESOURCES`, and ``delay_ns``,
    the estimate of ``gen.synth``; None if the model knows no such form."""
    entry = entry_of(model, _form(parameters))
    if entry is None or parameters.pipeline != 1:
        return None

    def total(factors: list[float], values: tuple[float, ...]) -> float:
        return sum(factor * value for factor, value in zip(factors, values, strict=True))

    counts, delays = features(parameters), delay_features(parameters)
    return {**{kind: total(entry[kind], counts) for kind in RESOURCES},
            "delay_ns": max(total(factors, delays) for factors in entry["delay_ns"].values())}
