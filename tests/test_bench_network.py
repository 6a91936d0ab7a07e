# amaranth: UnusedElaboratable=no
"""Networks on cores: what the benchmark says of them."""

import json
import re

import pytest
from networks import every_op, make_quantizer

import jobs
from benchmarks import network as bench
from benchmarks.network import bench_network
from gen import core_estimate, devices
from gen.core import Core
from gen.core_parameters import core_for
from models import network
from models.quantize import assign

SCHEMES = ("quant8", "doubleq", "doubleqext")


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Artefacts by scheme."""
    folder, topology = tmp_path_factory.mktemp("nets"), every_op()
    for scheme in SCHEMES:
        critical = ("conv1", "conv3") if scheme == "doubleqext" else ()
        make_quantizer(topology).network(
            assign(topology, scheme=scheme, critical=critical), scheme=scheme).save(folder / scheme)
    return {scheme: folder / scheme for scheme in SCHEMES}


def measured(nets, output, **options):
    with jobs.executor("inline") as executor:
        return bench_network(nets, output, executor, **options)


@pytest.fixture(scope="module")
def content(nets, tmp_path_factory):
    return measured(list(nets.values()), tmp_path_factory.mktemp("bench") / "out", pes=(16, 64))


def mapped(content):
    return [row for row in content["rows"] if row["refused"] is None]


def test_rows(content):
    """Every structure for every scheme and number of PEs; those that do not exist say why."""
    assert len(content["rows"]) == len({(row["scheme"], row["structure"], row["dsp"], row["pes"])
                                        for row in content["rows"]})
    exist = {scheme: sorted({row["structure"] for row in mapped(content)
                             if row["scheme"] == scheme}) for scheme in SCHEMES}
    assert exist == {"quant8": ["booth", "dsp2", "paper", "terms"],
                     "doubleq": ["dual", "merged", "paper"],
                     "doubleqext": ["booth", "booth-decode", "dual", "paper", "terms"]}
    reasons = {(row["scheme"], row["structure"], row["pes"]): row["refused"]
               for row in content["rows"] if row["refused"] is not None}
    assert reasons["quant8", "merged", 16] == \
        "structure 'merged' exists for scheme doubleq, not 'quant8'"
    assert reasons["quant8", "dsp2", 16] == \
        "array slices must be a multiple of 2 for structure 'dsp2', not 1"


def test_figures_are_the_schedules(content, nets):
    [row] = [row for row in mapped(content)
             if (row["scheme"], row["structure"], row["pes"]) == ("doubleqext", "dual", 64)]
    artefact = network.load(nets["doubleqext"])
    core = Core(artefact, core_for(artefact, 64, structure="dual", tree=row["tree"],
                                   target=row["target"]))
    assert row["image_cycles"] == core.image_cycles == 1 + sum(
        layer["cycles"] for layer in row["layers"])
    assert row["latency_cycles"] == core.latency > row["image_cycles"]
    assert row["macs"] == sum(layer["macs"] for layer in row["layers"])
    assert row["at_clock"]["images_per_second"] == round(1e8 / core.image_cycles, 1)
    # Weights that are powers of two come two a lane.
    rates = {"int8": 1, "pot5": 2}
    for layer in row["layers"]:
        possible = 64 * layer["cycles"] * rates[layer["format"]] if layer["macs"] else 1
        assert layer["utilization"] == round(100 * layer["macs"] / possible, 2) <= 100
    busy = sum(layer["macs"] / 64 / rates[layer["format"]] for layer in row["layers"]
               if layer["macs"])
    assert row["utilization"] == round(100 * busy / row["image_cycles"], 2)


def test_memory(content):
    for row in mapped(content):
        memory = row["memory"]
        weights = memory["weight_bits"] / (1 + memory["weight_padding"] / 100)
        bits = {"quant8": 8, "doubleq": 5}.get(row["scheme"])
        if bits is not None:
            assert weights / bits == pytest.approx(round(weights / bits), rel=1e-4)
        assert max(tensor["base"] + tensor["size"] for tensor in row["tensors"]) \
            == memory["depth"]


def test_tensors_that_are_there_together_do_not_overlap(content):
    for row in mapped(content):
        for a in row["tensors"]:
            for b in row["tensors"]:
                together = (a["layers"][0] <= b["layers"][1] and b["layers"][0] <= a["layers"][1])
                apart = (a["base"] + a["size"] <= b["base"] or b["base"] + b["size"] <= a["base"])
                assert a is b or apart or not together


def test_files(content, nets, tmp_path):
    """The same again from what is stored, byte by byte; everything is in the Markdown."""
    out = tmp_path / "out"
    first = measured(list(nets.values()), out, pes=(16, 64))
    assert first == content
    files = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert sorted(files) == sorted(content["files"]) == [
        "network.json", "network.md", "network_1.svg", "network_2.svg", "network_3.svg"]
    assert json.loads(files["network.json"]) == content
    text = files["network.md"].decode()
    assert "| NN2FPGA | ResNet-20 | KV260 | 7601 | 91.30 | 65000 | 636 |" in text
    assert re.search(r"\| quant8 \| dsp2, DSPs \| 16 \| array slices must be", text)
    assert "Synthesized" not in text
    measured(list(nets.values()), out, pes=(16, 64))
    assert files == {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_fastest_that_fits():
    def row(artefact, pes, images, fits):
        synthesis = None if fits is None else {"fits": fits, "images_per_second": images}
        return {"artefact": artefact, "pes": pes, "refused": None, "synthesis": synthesis,
                "at_clock": {"images_per_second": 1000 - images}}

    rows = [row("a", 16, 10, True), row("a", 32, 20, True), row("a", 64, 40, False),
            row("b", 16, 10, None), row("b", 32, 20, None), row("c", 16, 10, False)]
    assert [(found["artefact"], found["pes"]) for found in bench._fastest(rows)] == [
        ("a", 32), ("b", 16)]


SYNTHESIS = {"total": {"lut": 10_000, "ff": 6_340, "dsp": 10, "bram36": 136.5},
             "fmax_estimate_mhz": 125.0, "fmax_estimate_range_mhz": [100.0, 150.0]}


def test_synthesis_row(content, nets):
    """Percentages of the device, and throughput at the estimated clock with DSPs counted."""
    [row] = [row for row in mapped(content) if (row["scheme"], row["structure"], row["dsp"],
                                                row["pes"]) == ("quant8", "paper", False, 64)]
    job = bench.Job(net=str(nets["quant8"]), hash=row["artefact"], pes=64,
                    form=bench._forms("quant8", ["paper"])[0])
    schedule = {key: row[key] for key in row if key not in ("at_clock", "synthesis")}
    found = bench.row(job, schedule, SYNTHESIS, device=devices.get("xc7a100t"), clock_mhz=100.0)
    assert found["synthesis"]["percent"] == {
        "lut": 15.77, "ff": 5.0, "dsp": 4.17, "bram36": 101.11}
    assert not found["synthesis"]["fits"]
    assert found["synthesis"]["images_per_second"] == round(125e6 / row["image_cycles"], 1)
    gops = 2 * row["macs"] * 125e6 / row["image_cycles"] / 1e9
    assert found["synthesis"]["gops"] == round(gops, 2)
    assert found["synthesis"]["gops_per_klut"] == pytest.approx(gops / 15.47, rel=0.01)


@pytest.mark.slow
def test_synthesized(nets, tmp_path):
    content = measured([nets["doubleq"]], tmp_path / "out", pes=(16,), structures=("merged",),
                       synth=True)
    [row] = content["rows"]
    synthesis = row["synthesis"]
    assert synthesis["fits"] and synthesis["total"]["dsp"] == 0
    assert synthesis["total"]["lut"] > 0 and synthesis["total"]["bram36"] > 0
    assert "Synthesized for xc7a100t" in (tmp_path / "out" / "network.md").read_text()


def test_what_does_not_fit(content):
    """Is a row with what there is too little of."""
    row = mapped(content)[0]
    percent = {"lut": 90.0, "ff": 20.0, "dsp": 100.4, "bram36": 101.11}
    synthesis = {**SYNTHESIS, "percent": percent, "fits": False, "images_per_second": 1.0,
                 "gops": 1.0, "gops_per_klut": 1.0}
    [found] = [table for table in bench.tables({**content, "rows": [
        {**row, "synthesis": synthesis}]}) if table.title.startswith("Synthesized")]
    [line] = found.rows
    assert line[found.columns.index("fits")] == "no: DSP, BRAM36"


@pytest.mark.slow
def test_model(nets, tmp_path):
    """Fitted to a core that is no row, judged by the rows."""
    measured([nets["doubleq"]], tmp_path / "out", pes=(16,), structures=("merged",),
             model=tmp_path / "m.json")
    model = core_estimate.load(tmp_path / "m.json")
    assert model["made_by"] == ("doubleq bench network doubleq --pes 16 --structures merged "
                                "--device xc7a100t --model")
    assert model["fitted"] == ["doubleq merged, 64 PEs in 4 groups"]
    [off] = model["others"].values()
    # The arrays and the block memories need no core that is like this one.
    assert model["lut"]["arrays"][0] == pytest.approx(1, abs=0.02) and off["bram36"] == 0


@pytest.mark.parametrize(("options", "message"), [
    ({"structures": ("magic",)}, r"structures must be some of paper, .*, not magic"),
    ({"structures": ()}, r"structures must be some of paper, .*, not none"),
    ({"device": "ice40"}, r"device must be one of xc7a100t, xczu9eg, not 'ice40'"),
    ({"clock_mhz": 0.0}, r"clock must be more than 0 MHz, not 0"),
])
def test_refused(nets, tmp_path, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        measured([nets["doubleq"]], tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_not_a_number_of_pes(nets, tmp_path):
    """Is a row with the reason, as any other core that does not exist."""
    [row] = measured([nets["doubleq"]], tmp_path / "out", pes=(24,),
                     structures=("merged",))["rows"]
    assert row["refused"] == ("core pes must be 16 lanes times 1, 2, 4, 8 or 16 channels "
                              "times 1 to 16 groups, not 24")


def test_output_is_a_file(nets, tmp_path):
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(ValueError, match=r"out is a file, expected a folder or a new name$"):
        measured([nets["doubleq"]], tmp_path / "out")
