# amaranth: UnusedElaboratable=no
from dataclasses import asdict, replace

import pytest

from gen import core_fit, estimate
from gen.core import Core
from gen.core_estimate import FEATURES, PARTS, least_block_memories, predict
from gen.core_fit import choose_core
from gen.core_parameters import core_for
from gen.devices import DEVICES
from gen.estimate import RESOURCES, forms
from models.quantize import assign
from tests.networks import every_op, make_quantizer

AREAS = estimate.load()
[MERGED] = [form for form in forms(("doubleq",)) if form.structure == "merged"]
DEVICE = DEVICES["xc7a100t"]


def model(*, error=0.0, delay=(6.0, 1e-4)):
    """Arrays as their own model says, and 500 LUTs a requantizer."""
    def factors(lut):
        return {part: [1.0 if part == "arrays" else lut if name == "units" else 0.0
                       for name in FEATURES[part]] for part in PARTS}

    return {"device": "xc7a100t", "forms": [asdict(MERGED)], "lut": factors(500.0),
            "ff": factors(0.0), "dsp": factors(0.0), "delay_ns": list(delay),
            "error": dict.fromkeys([*RESOURCES, "delay_ns"], error)}


@pytest.fixture(scope="module")
def network():
    topology = every_op()
    return make_quantizer(topology).network(
        assign(topology, scheme="doubleq"), scheme="doubleq")


CHANNELS, GROUPS = (1, 2, 4), (1, 2, 3)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without yosys, and without the largest cores."""
    monkeypatch.setattr(core_fit, "CHANNELS", CHANNELS)
    monkeypatch.setattr(core_fit, "GROUPS", GROUPS)
    monkeypatch.setattr(core_fit, "block_memories",
                        lambda core, family: least_block_memories(core))


@pytest.fixture(scope="module")
def cores(network):
    """What every core takes, and its images a second."""
    found = {}
    for groups in GROUPS:
        for channels in CHANNELS:
            core = Core(network, core_for(network, 16 * groups * channels, groups=groups,
                                          **asdict(MERGED)))
            taken = {**predict(model(), AREAS, core), "bram36": least_block_memories(core)}
            found[core.parameters] = taken, 1e9 / taken["delay_ns"] / core.image_cycles
    return found


@pytest.mark.parametrize("error", [0.0, 0.1])
def test_choice_is_the_best_that_fits(network, cores, error):
    """For budgets as large as each core, among all of them one by one."""
    for most, _ in cores.values():
        device = replace(DEVICE, lut=most["lut"] * (1 + error), bram36=most["bram36"])
        best = max(speed for taken, speed in cores.values()
                   if taken["lut"] * (1 + error) <= device.lut
                   and taken["bram36"] <= device.bram36)
        found = choose_core(model(error=error), AREAS, network, (device, 1.0))
        assert found.images_per_second == pytest.approx(best)
        assert cores[found.parameters] == (found.predicted, pytest.approx(best))
        assert found.cycles == Core(network, found.parameters).image_cycles
        assert found.budget["lut"] == device.lut and found.error["lut"] == error


def test_room_for_the_error(network, cores):
    """The fastest core no longer fits where its LUTs are all that there are."""
    taken, speed = max(cores.values(), key=lambda core: core[1])
    device = replace(DEVICE, lut=taken["lut"], bram36=10**6)
    assert choose_core(model(), AREAS, network, (device, 1.0)).images_per_second == speed
    found = choose_core(model(error=0.05), AREAS, network, (device, 1.0))
    assert found.images_per_second < speed and found.binds == ("lut",)


def test_what_binds(network):
    everything = replace(DEVICE, lut=10**9, ff=10**9, bram36=10**9)
    most = choose_core(model(), AREAS, network, (everything, 1.0))
    assert most.binds == ("pes",)
    lut = choose_core(model(), AREAS, network, (replace(everything, lut=8_000), 1.0))
    assert lut.binds == ("lut",) and lut.parameters.pes < most.parameters.pes
    assert lut.predicted["lut"] <= 8_000
    memory = choose_core(model(), AREAS, network, (
        replace(everything, bram36=most.predicted["bram36"] - 1), 1.0))
    assert memory.binds == ("bram36",)
    assert memory.images_per_second < most.images_per_second


def test_faster_device(network):
    slow, fast = (choose_core(model(), AREAS, network, (replace(DEVICE, delay_scale=scale), 0.1))
                  for scale in (1.0, 0.5))
    assert fast.parameters == slow.parameters
    assert fast.images_per_second == pytest.approx(2 * slow.images_per_second)


@pytest.mark.parametrize(("options", "message"), [
    ({"structure": "booth"}, "there is no area model of structure 'booth' for doubleq"),
    ({"structure": "paper"}, "there is no area model of structure 'paper' for doubleq"),
    ({"budget": (DEVICE, 0.001)},
     "no core for this network fits into 0.1 % of an xc7a100t: even the slowest takes too many "
     "lut, ff"),
    ({"weights": "flash"}, "core weights must be one of rom, load, not 'flash'")])
def test_bad_choice(network, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        choose_core(model(), AREAS, network, **{"budget": (DEVICE, 0.1), **options})
