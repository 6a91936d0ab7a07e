import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from gen import estimate
from gen.estimate import (
    FEATURES,
    RESOURCES,
    Form,
    delay_features,
    features,
    forms,
    macs_per_cycle,
    predict,
    sum_range,
)
from gen.export import write_array
from gen.parameters import ArrayParameters
from gen.structures import STRUCTURES
from gen.synth import synthesize

MERGED = Form(scheme="doubleq", structure="merged", tree="ternary", target="xc7", dsp=False)


def model(*, error=0.0, form=MERGED, delay=(5.0, 0.0, 0.0, 0.0)):
    """A model of one form, whose lanes take 20 LUTs, 10 flip-flops and an eighth of a DSP."""
    return {"schema": 1, "device": "xc7a100t", "features": list(FEATURES), "forms": [{
        "form": asdict(form), "lut": [1, 0, 20, 0, 0, 0, 0, 1],
        "ff": [0, 0, 10, 0, 0, 0, 0, 0], "dsp": [0, 0, 0.125, 0, 0, 0, 0, 0], "bram36": [0] * 8,
        "delay_ns": {"register": list(delay), "input": [0, 0, 0, 0]},
        "error": dict.fromkeys([*RESOURCES, "delay_ns"], error)}]}


def test_forms():
    found = forms()
    assert {form.structure for form in found} == set(STRUCTURES)
    assert MERGED in found
    for form in found:
        assert form.array(2, 4).pes == 8
        assert (form.tree, form.target) in {("ternary", "xc7"), ("binary", "portable")}
    assert [form.dsp for form in forms(("quant8",)) if form.structure == "paper"] == [False, True]
    assert [form.dsp for form in forms(("doubleq",)) if form.structure == "paper"] == [False]


def test_features():
    """Four lanes, three adders of 17, 17 and 18 bits, all registered; two of them."""
    paper = ArrayParameters(scheme="doubleq", slices=2, lanes=4, accumulator_bits=20)
    adders = 2 * (17 + 17 + 18)
    assert dict(zip(FEATURES, features(paper), strict=True)) == {
        "latency": 4, "columns": 4, "lanes": 8, "terms": 8, "first adder bits": 2 * (17 + 17),
        "adder bits": adders, "register bits": adders, "accumulator bits": 40}


def test_features_of_two_trees():
    """Those of both sums; twice as many dot products share latency and columns."""
    one = ArrayParameters(scheme="quant8", structure="dsp2", slices=2, lanes=8, dsp=True)
    [first, second] = (dict(zip(FEATURES, features(array), strict=True))
                       for array in (one, replace(one, slices=4)))
    assert first["columns"] == 8 and first["lanes"] == 16 and first["terms"] == 4
    assert second == {name: count * (1 if name in ("latency", "columns") else 2)
                      for name, count in first.items()}


def test_delay_features():
    """A ternary tree of an even number of terms leaves two addends."""
    [form] = [form for form in forms(("doubleqext",)) if form.structure == "dual"]
    assert delay_features(form.array(8, 16)) == (1, 3, 4, 1)
    assert delay_features(form.array(1, 3)) == (1, 0, pytest.approx(1.585, abs=1e-3), 0)
    assert sum_range(form.array(1, 3)) == range(-98304, 98305)


def test_predict():
    """By hand: 6 lanes, of 20 LUTs each, an accumulator, and a LUT a cycle; the slower path."""
    array = MERGED.array(2, 3)
    latency = features(array)[0]
    predicted = predict(model(delay=(3.0, 0.5, 0.0, 0.0)), array)
    assert predicted == {"lut": latency + 6 * 20 + 2 * 32, "ff": 60, "dsp": 0.75, "bram36": 0,
                         "delay_ns": 3.5}


def test_macs():
    assert macs_per_cycle(MERGED.array(2, 8)) == {"pot": 16}
    for structure, expected in [("dual", {"int8": 16, "pot": 32}),
                                ("terms", {"int8": 4, "pot": 16}),
                                ("booth", {"int8": 16, "pot": 16})]:
        [form] = [form for form in forms(("doubleqext",)) if form.structure == structure]
        assert macs_per_cycle(form.array(2, 8)) == expected


@pytest.mark.parametrize(("text", "message"), [
    (None, "cannot read .*model.json: No such file or directory, expected what 'doubleq bench"),
    ("{", "model.json: expected what .* writes, found Expecting"),
    ("[]", "with {'schema': 1"), ('{"schema": 2}', "with {'schema': 1")])
def test_bad_model(tmp_path, text, message):
    path = tmp_path / "model.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=message):
        estimate.load(path)


def test_unknown_form():
    assert predict(model(), ArrayParameters(scheme="doubleq", slices=1, lanes=4)) is None
    assert predict(model(), replace(MERGED.array(1, 4), pipeline=2)) is None


def test_the_model():
    """It is of every form, and was off by at most 5 % for arrays that it was not fitted on."""
    known = json.loads(estimate.MODEL.read_text())
    assert [entry["form"] for entry in known["forms"]] == [asdict(form) for form in forms()]
    for entry in known["forms"]:
        assert {kind: error for kind, error in entry["error"].items() if error > 0.05} == {}
        assert any(name.endswith(" 32x16") for name in entry["others"]), entry["form"]


def check(array):
    """Synthesizes an array and compares it with what the model says."""
    with tempfile.TemporaryDirectory() as scratch:
        write_array(array, Path(scratch) / "array")
        result = synthesize(Path(scratch) / "array", "xc7a100t")
    predicted = predict(estimate.load(), array)
    assert predicted is not None
    for kind in ("lut", "ff", "dsp"):
        assert predicted[kind] == pytest.approx(result["total"][kind], rel=0.05), kind
    assert predicted["delay_ns"] == pytest.approx(result["timing"]["delay_ns"], rel=0.05)


def form_of(scheme, structure, dsp=False):
    return next(form for form in forms((scheme,)) if (form.structure, form.dsp) == (structure, dsp))


@pytest.mark.parametrize(("form", "slices", "lanes"), [
    (MERGED, 3, 10), (form_of("doubleqext", "booth"), 2, 8)])
def test_other_arrays(form, slices, lanes):
    """Arrays that the model was neither fitted to nor judged by."""
    check(form.array(slices, lanes))


@pytest.mark.slow
@pytest.mark.parametrize(("slices", "lanes"), [(6, 11), (10, 22)])
@pytest.mark.parametrize("form", forms(), ids=lambda form: "-".join(
    map(str, (form.scheme, form.structure, form.dsp))))
def test_larger_arrays(form, slices, lanes):
    check(form.array(slices, lanes))
