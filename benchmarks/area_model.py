"""Fits the model of ``gen.estimate`` to measured syntheses."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from benchmarks.synthesis import label
from gen.estimate import (
    DELAY_FEATURES,
    FEATURES,
    RESOURCES,
    SCHEMA,
    Form,
    delay_features,
    features,
    predict,
)
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES

__all__ = ["fit", "fitted_arrays", "off", "parameters_of"]

# Dot products, lanes and accumulator bits.
FITTED = ((1, 4, 32), (1, 7, 32), (2, 10, 24), (1, 13, 32), (6, 8, 32), (1, 18, 32), (1, 27, 32),
          (1, 40, 24), (1, 64, 32), (24, 4, 32))

Results = Iterable[Mapping[str, Any]]


def fitted_arrays(forms: Iterable[Form]) -> list[ArrayParameters]:
    """The arrays that a model is fitted to: of few PEs, and of all numbers of lanes."""
    return [form.array(dots * STRUCTURES[form.structure].SUMS, lanes, accumulator_bits=bits)
            for form in forms for dots, lanes, bits in FITTED]


def parameters_of(result: Mapping[str, Any]) -> ArrayParameters:
    """The knobs of a synthesized array."""
    return ArrayParameters(**{name: value for name, value in result["parameters"].items()
                              if name != "pes"})


def _factors(rows: Sequence[Sequence[float]], measured: Sequence[float]) -> list[float]:
    """Least squares of relative errors."""
    weights = 1 / np.maximum(np.array(measured, float), 1)
    found, *_ = np.linalg.lstsq(np.array(rows) * weights[:, None], np.array(measured) * weights,
                                rcond=1e-9)
    return [round(float(value), 4) + 0.0 for value in found]


def _form(results: list[Mapping[str, Any]]) -> dict[str, Any]:
    arrays = [parameters_of(result) for result in results]
    counts = [features(array) for array in arrays]
    delays = [delay_features(array) for array in arrays]
    return {
        **{kind: _factors(counts, [result["total"][kind] for result in results])
           for kind in RESOURCES},
        "delay_ns": {kind: _factors(delays, [result["delay_ns"][kind] for result in results])
                     for kind in ("register", "input")}}


def off(model: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float] | None:
    """What the model predicts of a synthesized array, less what was measured, as shares of it; of
    none where both are 0. None if it does not know its form, or was fitted to another device."""
    predicted = predict(model, parameters_of(result)) if model["device"] == result["device"] \
        else None
    if predicted is None:
        return None
    measured = {**result["total"], "delay_ns": 1000 / result["fmax_estimate_mhz"]}
    return {kind: round(float(value - measured[kind]) / max(measured[kind], 1), 4)
            for kind, value in predicted.items()}


def fit(forms: Iterable[Form], fitted: Results, others: Results) -> dict[str, Any]:
    """A model of ``forms``.

    Parameters
    ----------
    fitted, others
        Results of ``benchmarks.synthesis``: those that the model is fitted to, and those by which
        it is judged.

    Returns
    -------
    :class:`dict`
        ``schema``, ``made_by``, ``device``, ``yosys``, ``features``, ``delay_features``, and
        ``forms``: for each its knobs (``form``), the factors of its features for each resource,
        and those of the delay of paths from a ``register`` and an ``input``; ``error``, the
        largest share by which it is off for another array, and ``others``, what it is off for
        each.

    Raises
    ------
    :exc:`ValueError`
        If there is no other array of a form.
    """
    fitted, others = list(fitted), list(others)

    def of(form: Form, results: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [result for result in results if asdict(form).items()
                <= result["parameters"].items()]

    model: dict[str, Any] = {
        "schema": SCHEMA, "made_by": "doubleq bench area --model",
        "device": fitted[0]["device"], "yosys": fitted[0]["yosys"], "features": list(FEATURES),
        "delay_features": list(DELAY_FEATURES), "forms": []}
    for form in forms:
        entry: dict[str, Any] = {"form": asdict(form), **_form(of(form, fitted))}
        model["forms"].append(entry)
        judged = {label(parameters_of(result)): off(model, result) for result in of(form, others)}
        if not judged:
            raise ValueError(f"a model needs layouts that every structure exists for and that it "
                             f"is not fitted to, found none for {form.structure!r}")
        entry["error"] = {kind: max(abs(share[kind]) for share in judged.values() if share)
                          for kind in (*RESOURCES, "delay_ns")}
        entry["others"] = judged
    return model
