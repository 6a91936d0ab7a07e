import json

import pytest

import doubleq
from models.quantize import assign
from tests.networks import every_op, make_quantizer


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    folder, topology = tmp_path_factory.mktemp("nets") / "net", every_op()
    make_quantizer(topology).network(
        assign(topology, scheme="doubleq"), scheme="doubleq").save(folder)
    return folder


def run(capsys, *arguments):
    """Exit code, standard output and standard error of 'generate network'."""
    with pytest.raises(SystemExit) as stop:
        doubleq.main(["generate", "network", *map(str, arguments)])
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_fit(net, tmp_path, capsys):
    """The core that is written is the one that was chosen, and within the budget."""
    code, out, err = run(capsys, net, "--fit", "xc7a100t:30%", "--structure", "merged", "-o",
                         tmp_path / "out", "--json")
    assert code == 0, err
    result = json.loads(out)
    chosen, parameters = result["fit"], result["parameters"]
    assert chosen["cycles"] == result["image_cycles"]
    assert {**chosen["parameters"]["array"],
            "pes": parameters["pes"]}.items() <= parameters.items()
    assert parameters["structure"] == "merged" and parameters["target"] == "xc7"
    for kind in ("lut", "ff", "dsp", "bram36"):
        assert chosen["predicted"][kind] <= chosen["budget"][kind]
    assert chosen["binds"]
    assert json.loads((tmp_path / "out" / "sidecar.json").read_text())["parameters"] == parameters
    assert "what binds: " in err


@pytest.mark.parametrize(("options", "message"), [
    (("--pes", "64"), "--fit chooses PEs, groups, tree, target, DSPs and pipeline itself"),
    (("--target", "xc7"), "--fit chooses PEs, groups, tree, target, DSPs and pipeline itself"),
    (("--like", "core"), "--like takes all knobs from the other core"),
    (("--structure", "booth"), "there is no area model of structure 'booth' for doubleq"),
    (("--weights", "flash"), "core weights must be one of rom, load, not 'flash'")])
def test_conflicts(net, tmp_path, capsys, options, message):
    code, out, err = run(capsys, net, "--fit", "xc7a100t:30%", *options, "-o", tmp_path / "out")
    assert (code, out, err) == (2, "", f"doubleq: {message}\n")
    assert not (tmp_path / "out").exists()


def test_bad_budget(net, tmp_path, capsys):
    code, _, err = run(capsys, net, "--fit", "xc7a100t", "-o", tmp_path / "out")
    assert code == 2 and "budget must be a device and 0 to 100 % of it" in err
