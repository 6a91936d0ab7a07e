import pytest
from test_area import result

from benchmarks import area_model
from benchmarks.area_model import fitted_arrays, off
from gen.estimate import FEATURES, RESOURCES, Form, features, forms, predict
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES

FORMS = [form for form in forms() if form.structure in ("merged", "dsp2")]
# LUTs, flip-flops and DSPs of each feature.
FACTORS = {"lut": (0, 0, 19, 0, -1, 1, 0, 1), "ff": (3, 8, 0, 17, 0, 0, 1, 1),
           "dsp": (0, 0, 0.5, 0, 0, 0, 0, 0), "bram36": (0,) * 8}


def made_up(array: ArrayParameters):
    """An array that takes exactly what a model can say."""
    counts = features(array)
    total = {kind: sum(factor * count for factor, count in zip(factors, counts, strict=True))
             for kind, factors in FACTORS.items()}
    found = result(array.scheme, array.structure, pes=array.pes, slices=array.slices,
                   dsp=int(array.dsp), accumulator_bits=array.accumulator_bits)
    delay = {"register": 4 + 0.1 * (array.slices - 1).bit_length(), "input": 5}
    return {**found, "total": total, "delay_ns": delay,
            "fmax_estimate_mhz": 1000 / max(delay.values())}


def test_arrays():
    """Of all forms, of few PEs; the features are told apart."""
    import numpy as np
    arrays = fitted_arrays(FORMS)
    assert {array.structure for array in arrays} == {"merged", "dsp2"}
    assert all(array.slices % STRUCTURES[array.structure].SUMS == 0 for array in arrays)
    assert max(array.pes for array in arrays) < 200
    for form in FORMS:
        counts = np.array([features(array) for array in arrays
                           if array.structure == form.structure], float)
        assert np.linalg.matrix_rank(counts) == len(FEATURES)


def test_fit_finds_what_there_is():
    others = [FORMS[0].array(4, 16), FORMS[1].array(32, 16), FORMS[1].array(3, 9)]
    model = area_model.fit(FORMS, map(made_up, fitted_arrays(FORMS)), map(made_up, others))
    assert model["schema"] == 1 and model["features"] == list(FEATURES)
    assert model["device"] == "xc7a100t" and model["yosys"] == "Yosys 0.70"
    for array in others:
        predicted, measured = predict(model, array), made_up(array)
        for kind in RESOURCES:
            assert predicted[kind] == pytest.approx(measured["total"][kind], rel=1e-3, abs=1e-3)
        assert predicted["delay_ns"] == pytest.approx(5, rel=0.01)
    for entry in model["forms"]:
        assert entry["error"]["lut"] < 0.001 and entry["error"]["bram36"] == 0
    assert [list(entry["others"]) for entry in model["forms"]] == [
        ["quant8 dsp2 with DSPs, 4x16"], ["doubleq merged, 32x16", "doubleq merged, 3x9"]]


def test_errors_are_of_what_was_measured():
    model = area_model.fit(FORMS[1:], map(made_up, fitted_arrays(FORMS[1:])),
                           [made_up(FORMS[1].array(3, 9))])
    measured = made_up(FORMS[1].array(5, 20))
    measured["total"]["lut"] *= 2
    found = off(model, measured)
    assert found["lut"] == pytest.approx(-0.5, abs=0.001)
    assert found["ff"] == pytest.approx(0, abs=0.001)
    assert off(model, {**measured, "device": "xczu9eg"}) is None
    assert off(model, made_up(FORMS[0].array(4, 16))) is None
    again = area_model.fit(FORMS[1:], map(made_up, fitted_arrays(FORMS[1:])),
                           [made_up(FORMS[1].array(3, 9)), measured])
    assert again["forms"][0]["error"]["lut"] == pytest.approx(0.5, abs=0.001)


def test_judged_by_others():
    assert isinstance(FORMS[0], Form)
    with pytest.raises(ValueError, match="not fitted to, found none for 'dsp2'"):
        area_model.fit(FORMS, map(made_up, fitted_arrays(FORMS)),
                       [made_up(FORMS[1].array(3, 9))])
