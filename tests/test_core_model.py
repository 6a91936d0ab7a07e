# amaranth: UnusedElaboratable=no
from dataclasses import asdict

import pytest

from benchmarks import core_model
from benchmarks.core_model import FITTED, fit, fitted_jobs
from benchmarks.cores import Job
from gen import estimate
from gen.core import Core
from gen.core_estimate import FEATURES, PARTS, features, least_block_memories
from gen.estimate import RESOURCES, forms
from models.quantize import assign
from tests.networks import every_op, make_quantizer

AREAS = estimate.load()
FACTOR = {"lut": 3.0, "ff": 2.0, "dsp": 0.0}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    folder, topology = tmp_path_factory.mktemp("nets"), every_op()
    for scheme in ("doubleq", "quant8"):
        make_quantizer(topology).network(
            assign(topology, scheme=scheme), scheme=scheme).save(folder / scheme)
    return folder


def jobs_of(nets, scheme, structures, pes=(64,)):
    return [Job(net=str(nets / scheme), hash=scheme, form=form, pes=count)
            for form in forms((scheme,)) if form.structure in structures for count in pes]


def test_fitted_jobs(nets):
    """One of each network and form, of the sizes in turn; where a structure has no such core, the
    next one: dsp2 has no single channels."""
    found = fitted_jobs(jobs_of(nets, "doubleq", ("paper", "merged"), (16, 64))
                        + jobs_of(nets, "quant8", ("booth", "dsp2")))
    assert [job.form.structure for job in found] == ["paper", "merged", "booth", "dsp2"]
    assert [(job.pes, job.groups) for job in found] == list(FITTED[:4])
    [alone] = fitted_jobs(jobs_of(nets, "quant8", ("dsp2",)))
    assert (alone.pes, alone.groups) == FITTED[1]


@pytest.fixture(autouse=True)
def without_yosys(monkeypatch):
    monkeypatch.setattr(core_model, "block_memories", least_block_memories)


def measured(job):
    """As if each feature of a part took as much as its factor says, all from one."""
    core = Core(*job.load())
    parts = {part: {kind: FACTOR[kind] * features(core, AREAS, kind)[part][0]
                    for kind in FACTOR} for part in PARTS}
    delay = 8 + 1e-3 * features(core, AREAS, "lut")["rest"][2]
    return job, {"device": "xc7a100t", "yosys": "Yosys", "parts": parts,
                 "total": {**{kind: sum(part[kind] for part in parts.values()) for kind in FACTOR},
                           "bram36": least_block_memories(core)},
                 "fmax_estimate_mhz": 1000 / delay}


def test_fit_recovers_what_was_measured(nets):
    jobs = jobs_of(nets, "doubleq", ("paper", "merged"), (16, 64))
    fitted = [measured(job) for job in jobs]
    other = measured(fitted_jobs(jobs)[1])
    model = fit(AREAS, fitted, [other], made_by="a test")
    assert model["made_by"] == "a test" and set(model["features"]) == set(FEATURES)
    assert model["forms"] == [asdict(job.form) for job in jobs[::2]]
    assert list(model["others"]) == ["doubleq merged, 256 PEs in 1 groups"]
    assert set(model["error"]) == {*RESOURCES, "delay_ns"}
    assert all(share <= 1e-3 for share in model["error"].values())
    assert all(factor >= 0 for kind in FACTOR for factors in model[kind].values()
               for factor in factors)
    # A measurement that is twice as large is off by half.
    job, result = other
    twice = {**result, "total": {kind: 2 * value for kind, value in result["total"].items()}}
    assert core_model.off(model, AREAS, Core(*job.load()), twice) == pytest.approx(
        {"lut": -0.5, "ff": -0.5, "dsp": 0, "bram36": -0.5, "delay_ns": 0}, abs=1e-3)


def test_nothing_to_judge_by():
    with pytest.raises(ValueError, match="^a model needs cores that it is not fitted to: "):
        fit(AREAS, [], [], made_by="a test")
