from dataclasses import replace

import pytest
from test_estimate import MERGED, model

from gen import estimate, fit
from gen.devices import DEVICES
from gen.estimate import RESOURCES, macs_per_cycle, predict
from gen.fit import choose

SMALL = DEVICES["xc7a100t"], 0.02


def test_budget():
    assert fit.parse_budget("xczu9eg:12.5%") == (DEVICES["xczu9eg"], 0.125)


@pytest.mark.parametrize(("text", "message"), [
    ("xc7a100t", "must be a device and 0 to 100 % of it, as xc7a100t:50%, not 'xc7a100t'"),
    ("xc7a100t:50", "not 'xc7a100t:50'"), ("xc7a100t:0%", "not"), ("xc7a100t:101%", "not"),
    ("xc7a100t:x%", "not"), ("xc7a100t:nan%", "not"), ("xc7z:50%", "device must be one of")])
def test_bad_budget(text, message):
    with pytest.raises(ValueError, match=message):
        fit.parse_budget(text)


@pytest.mark.parametrize("error", [0.0, 0.05])
def test_choice_is_the_best_that_fits(error):
    """Every array of the model's form, one by one."""
    limits = {kind: 0.02 * getattr(SMALL[0], kind) for kind in RESOURCES}
    delay = (4.0, 0.1, 0.3, 0.2)
    known = model(error=error, delay=delay)
    best = 0.0
    for lanes in range(4, 65):
        for slices in range(1, 64 // lanes + 1):
            predicted = predict(known, MERGED.array(slices, lanes))
            assert predicted
            if all(predicted[kind] * (1 + error) <= limits[kind] for kind in RESOURCES):
                best = max(best, slices * lanes / predicted["delay_ns"])
    found = choose(known, "doubleq", SMALL)
    assert found.gmacs == pytest.approx(best)
    assert found.predicted == predict(known, found.parameters)
    assert found.error["lut"] == error and found.budget == limits
    assert all(found.predicted[kind] * (1 + error) <= limits[kind] for kind in RESOURCES)


def test_what_binds():
    device = DEVICES["xc7a100t"]
    lut = choose(model(), "doubleq", (replace(device, dsp=10**6), 0.02))
    assert lut.binds == ("lut",)
    dsp = choose(model(), "doubleq", (replace(device, lut=10**6), 0.02))
    assert dsp.binds == ("dsp",) and dsp.parameters.pes == 38
    ff = choose(model(), "doubleq", (replace(device, lut=10**6, dsp=10**6, ff=40_000), 0.02))
    assert ff.binds == ("ff",) and ff.parameters.pes == 80
    most = choose(model(), "doubleq", (replace(device, lut=10**9, dsp=10**9, ff=10**9), 1.0))
    assert most.binds == ("slices",) and most.parameters.pes == 128 * 64


def test_faster_device():
    slow = choose(model(), "doubleq", SMALL)
    fast = choose(model(), "doubleq", (replace(SMALL[0], delay_scale=0.5), 0.02))
    assert fast.predicted["delay_ns"] == 2.5 and fast.gmacs == pytest.approx(2 * slow.gmacs)


def test_accumulators():
    """They count, and are never too narrow for the sums of a vector."""
    budget = replace(SMALL[0], dsp=10**6), 0.02
    wide = choose(model(), "doubleq", budget, accumulator_bits=48)
    middle = choose(model(), "doubleq", budget, accumulator_bits=24)
    narrow = choose(model(), "doubleq", budget, accumulator_bits=18)
    assert middle.gmacs > wide.gmacs
    assert wide.parameters.accumulator_bits == 48
    assert narrow.parameters.lanes <= 7


def test_mix_of_weights():
    """The structure for what is mostly computed."""
    known = estimate.load()
    few, many = (choose(known, "doubleqext", (DEVICES["xc7a100t"], 0.3), int8_share=share)
                 for share in (0.0, 1.0))
    assert macs_per_cycle(few.parameters)["pot"] > macs_per_cycle(many.parameters)["pot"]
    assert macs_per_cycle(few.parameters)["int8"] < macs_per_cycle(many.parameters)["int8"]
    for found, weights in [(few, "pot"), (many, "int8")]:
        assert found.gmacs == pytest.approx(
            macs_per_cycle(found.parameters)[weights] / found.predicted["delay_ns"])


@pytest.mark.parametrize(("options", "message"), [
    ({"scheme": "triple"}, "array scheme must be one of quant8, doubleq, doubleqext, not 'triple'"),
    ({"scheme": "quant8"}, "there is no area model of structure None for quant8"),
    ({"structure": "booth"}, "there is no area model of structure 'booth' for doubleq"),
    ({"int8_share": 1.5}, "share of 8-bit multiplications must be 0 to 1, not 1.5"),
    ({"budget": (DEVICES["xc7a100t"], 0.001)},
     "no doubleq array of 4 lanes or more fits into 0.1 % of an xc7a100t")])
def test_bad_choice(options, message):
    with pytest.raises(ValueError, match=message):
        choose(model(), **{"scheme": "doubleq", "budget": SMALL, **options})
