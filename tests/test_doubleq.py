"""The command line: the examples in its help, its JSON, and what it says to bad input."""

import inspect
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import doubleq
from models import network as artefact

ROOT = Path(__file__).resolve().parent.parent
# In an order in which each finds what it needs.
COMMANDS = ["train", "quantize", "evaluate", "export", "generate array", "cosim", "synth",
            "generate network", "run", "vivado", "bench golden", "bench accuracy", "bench network",
            "bench area", "info", "demo"]


def callbacks(app=doubleq.app, prefix=""):
    found = {prefix + (command.name or command.callback.__name__): command.callback
             for command in app.registered_commands}
    for group in app.registered_groups:
        found |= callbacks(group.typer_instance, f"{prefix}{group.name} " if group.name else prefix)
    return found


def run(capsys, line):
    """Exit code, standard output and standard error of a command line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        doubleq.main(shlex.split(line))
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder as the examples expect it; what they write stays for the next."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "models").symlink_to(ROOT / "models")
    digit = (load_digits().images[0] * 255 / 16).astype(np.uint8)
    Image.fromarray(digit).save(folder / "digit.png")
    return folder


@pytest.fixture(autouse=True)
def inside(workplace, monkeypatch):
    monkeypatch.chdir(workplace)


def test_every_command_is_listed():
    assert sorted(callbacks()) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_example(capsys, name):
    """The example runs, prints exactly one JSON object, and its keys are the documented ones."""
    text = inspect.getdoc(callbacks()[name])
    [example] = re.findall(r"^Example: doubleq (.+)$", text, re.MULTILINE)
    assert example.startswith(name)
    code, out, err = run(capsys, f"{example} --json")
    assert code == 0, err
    result = json.loads(out)
    [documented] = re.findall(r"JSON keys: ((?:.|\n)+?)\.(?: |\n|$)", text)
    keys = re.findall(r"\w+", re.sub(r"\([^)]*\)", "", documented))
    assert sorted(result) == sorted(keys)


@pytest.mark.parametrize("name", COMMANDS)
def test_help(capsys, name):
    code, out, _ = run(capsys, f"{name} --help")
    assert code == 0
    assert "Example: doubleq" in out
    assert "JSON keys:" in out


def test_tables_for_people(capsys):
    code, out, _ = run(capsys, "evaluate nets/digits --images 20")
    assert code == 0
    assert all(name in out for name in ("float", "fake-quantized", "affine", "integer"))


def test_info_describes(capsys):
    for path, key in [("nets/digits", "formats"), ("rtl_out/doubleq_16", "latency")]:
        code, out, _ = run(capsys, f"info {path} --json")
        assert code == 0
        assert key in json.loads(out)


def test_same_command_same_bytes(capsys):
    for name in "ab":
        line = f"quantize models/resnet8_digits.safetensors --scheme quant8 -o same/{name}"
        assert run(capsys, line)[0] == 0
    files = sorted(path.name for path in Path("same/a").iterdir())
    assert files == ["float.safetensors", "network.json", "sample.npz", "weights.npz"]
    for name in files:
        assert Path("same/a", name).read_bytes() == Path("same/b", name).read_bytes()


def test_critical_layers_by_number(capsys):
    line = ("quantize models/resnet8_digits.safetensors --scheme doubleqext --critical 0,fc "
            "-o ext/fc")
    code, _, err = run(capsys, line)
    assert (code, "not fc" in err) == (2, True)
    line = line.replace("0,fc", "0,layer2.0.shortcut").replace("ext/fc", "ext/net")
    code, out, _ = run(capsys, f"{line} --json")
    assert code == 0
    formats = json.loads(out)["formats"]
    assert [name for name, fmt in formats.items() if fmt == "int8"] == [
        "stem", "layer2.0.shortcut", "fc"]


def test_calibrated_rounding(capsys):
    """Fewer bits than pot5 rounded weight by weight, and closer to the float network."""
    found = {}
    for name, options in [("plain", "--format pot5"),
                          ("calibrated", "--format pot3 --rounding calibrated")]:
        line = (f"quantize models/resnet8_digits.safetensors --scheme doubleq {options} "
                f"-o cal/{name}")
        assert run(capsys, line)[0] == 0
        code, out, _ = run(capsys, f"evaluate cal/{name} --against same/a --json")
        assert code == 0
        found[name] = json.loads(out)
    assert found["calibrated"]["conv_bytes"] < found["plain"]["conv_bytes"]
    plain, calibrated = (found[name]["networks"]["integer"]["divergence"]
                         for name in ("plain", "calibrated"))
    assert calibrated < plain
    assert found["plain"]["against"]["images"] == (
        found["plain"]["networks"]["integer"]["top1_correct"]
        - found["calibrated"]["networks"]["integer"]["top1_correct"]
        + found["calibrated"]["against"]["images"])


def test_layers_compared(capsys):
    """From the fake-quantized network to the integer one; a layer on its own is nearly exact."""
    code, out, err = run(capsys, "evaluate nets/digits --images 60 --layers --json")
    assert code == 0, err
    result = json.loads(out)
    layers, networks = result["layers"], result["networks"]
    names = [node.name for node in artefact.load(Path("nets/digits")).topology.order]
    assert [row["name"] for row in layers] == ["input", *names]
    assert layers[-1]["top1_correct"] == networks["integer"]["top1_correct"]
    assert all(row["same_input"]["largest"] <= 1 for row in layers)
    assert run(capsys, "evaluate nets/digits --images 20 --layers")[0] == 0


def test_selection_by_sensitivity(capsys):
    line = ("quantize models/resnet8_digits.safetensors --scheme doubleqext -o sens/net --json "
            "--selection sensitivity --formats pot3,pot5,int8 --selection-images 100")
    code, out, err = run(capsys, f"{line} --budget-kb 40")
    assert code == 0, err
    result = json.loads(out)
    assert result["conv_bytes"] <= 40000
    sizes = [point["conv_bytes"] for point in result["search"]["trace"]]
    assert sizes == sorted(sizes)
    assert result["formats"] in [point["formats"] for point in result["search"]["trace"]]
    assert run(capsys, f"{line} --max-loss 100")[0] == 0


def test_executors_give_the_same_artefact(capsys):
    """A search in worker processes; it says what it evaluated and what reuse saved."""
    for name, options in [("inline", ""), ("processes", "--executor processes --workers 2")]:
        line = ("quantize models/resnet8_digits.safetensors --scheme doubleqext --rounding log "
                f"--per-tensor --mrt 50 --selection-images 120 {options} -o executors/{name}")
        code, out, err = run(capsys, line)
        assert code == 0, err
        assert re.search(r"search: \d+ evaluations on 120 training images, \d+\.\d % of the", out)
    assert (Path("executors/inline/network.json").read_bytes()
            == Path("executors/processes/network.json").read_bytes())


def test_accumulators_sized_for_a_network(capsys):
    line = "generate array --scheme doubleq --pes 4 --network nets/digits -o rtl_out/sized --json"
    code, out, _ = run(capsys, line)
    sidecar = json.loads(out)
    assert code == 0
    network = artefact.load(Path("nets/digits"))
    assert sidecar["artefact"] == network.hash
    assert sidecar["parameters"]["accumulator_bits"] == max(
        network.layers[node.name].accumulator_bits(with_bias=False)
        for node in network.topology.weighted)
    code, _, err = run(capsys, f"{line} --accumulator-bits 17")
    assert (code, "accumulator width must be at least" in err) == (2, True)


def test_mismatch_is_exit_code_1(capsys):
    line = "cosim nets/digits rtl_out/doubleq_16 --layer 1 --outputs 4 --corrupt 3"
    code, out, _ = run(capsys, line)
    assert code == 1
    assert re.search(r"mismatch: what value, .*layer layer1.0.conv1, .*expected -?\d+, got", out)


def test_accuracy_of_the_hardware(capsys):
    """As many images are right as the golden model has right."""
    code, out, err = run(
        capsys, "cosim nets/digits rtl_out/digits_16 --data digits --images 8 --json")
    assert code == 0, err
    result = json.loads(out)
    code, out, _ = run(capsys, "evaluate nets/digits --data digits --images 8 --json")
    assert result["correct"] == json.loads(out)["networks"]["integer"]["top1_correct"]
    assert result["images"] == len(result["classes"]) == 8


def save_checkpoint(path, change):
    from safetensors.torch import load_file, save_file
    tensors = load_file(ROOT / "models" / "resnet8_digits.safetensors")
    change(tensors)
    save_file(tensors, path)


def bad_files():
    """Damaged inputs for the table below."""
    folder = Path("bad")
    if folder.exists():
        return
    folder.mkdir()
    save_checkpoint(folder / "nan.safetensors", lambda t: t["layers.fc.weight"].fill_(torch.nan))
    save_checkpoint(folder / "shape.safetensors",
                    lambda t: t.update({"layers.fc.weight": torch.zeros(10, 3)}))
    save_checkpoint(folder / "missing.safetensors", lambda t: t.pop("layers.fc.bias"))
    content = (ROOT / "models" / "resnet8_digits.safetensors").read_bytes()
    (folder / "short.safetensors").write_bytes(content[:-500])
    (folder / "cifar").mkdir()
    (folder / "cifar" / "data_batch_1.bin").write_bytes(bytes(3000))
    (folder / "cifar" / "test_batch.bin").write_bytes(bytes(3073))
    shutil.copytree("nets/digits", folder / "edited")
    text = (folder / "edited" / "network.json").read_text()
    (folder / "edited" / "network.json").write_text(text.replace('"scale": ', '"scale": 1', 1))
    (folder / "file").write_text("in the way")
    (folder / "full").mkdir()
    (folder / "full" / "precious").touch()


Q = "quantize models/resnet8_digits.safetensors -o bad/out"
N = "bench network nets/digits -o bad/out"
B = "bench accuracy models/resnet8_digits.safetensors -o bad/out"


@pytest.mark.parametrize(("line", "message"), [
    (f"{Q} --scheme doubleq --model resnet21", "model must be one of resnet8"),
    (f"{Q} --scheme triple", "scheme must be one of quant8, doubleq, doubleqext, not 'triple'"),
    (f"{Q} --scheme doubleq --format pot9", "weight format must be one of"),
    (f"{Q} --scheme doubleq --format int8", "takes a power-of-two format, not 'int8'"),
    (f"{Q} --scheme doubleq --rounding up", "rounding must be one of log, nearest, calibrated"),
    (f"{Q} --scheme doubleqext --selection magic", "selection must be greedy or sensitivity"),
    (f"{Q} --scheme doubleqext --selection sensitivity", "takes either a budget or a loss"),
    (f"{Q} --scheme doubleqext --selection sensitivity --budget-kb 9", "budget must be at least"),
    (f"{Q} --scheme doubleq --calibration guess", "calibration must be one of max, percentile"),
    (f"{Q} --scheme doubleqext --mrt 101", "minimum recovery threshold must be 0 to 100 %"),
    (f"{Q} --scheme doubleq --mean 1,x", "--mean must be numbers separated by commas, not '1,x'"),
    (f"{Q} --scheme doubleq --calibration-images 0", "calibration images must be at least 1"),
    (f"{Q} --scheme doubleq --selection-images 5000", "leave none of the 1437 training images"),
    (f"{Q} --scheme doubleq --width 8", "fit resnet8: layers.stem.weight has shape [16, 1, 3, 3]"),
    (f"{Q} --scheme doubleq --model mnist", "layer 'conv2': output shape (20, -2, -2) is empty"),
    (f"{Q} --scheme quant8 --executor threads", "executor must be one of inline, processes, dask"),
    (f"{Q} --scheme quant8 --workers 2", "executor inline takes no workers, found 2"),
    (f"{Q} --scheme quant8 --executor processes --workers 0", "workers must be a positive integer"),
    (f"{Q} --scheme quant8 --executor dask", "needs a scheduler, tcp://host:port, found None"),
    (f"{Q} --scheme quant8 --executor processes --scheduler tcp://x:1", "takes no scheduler"),
    (f"{Q} --scheme quant8 --executor dask --scheduler tcp://127.0.0.1:9", "no Dask scheduler"),
    ("quantize nowhere.pt --scheme quant8 -o bad/out", "nowhere.pt"),
    ("quantize bad/nan.safetensors --scheme quant8 -o bad/out", "layers.fc.weight: NaN or"),
    ("quantize bad/shape.safetensors --scheme quant8 -o bad/out",
     "layers.fc.weight has shape [10, 3], expected [10, 64]"),
    ("quantize bad/missing.safetensors --scheme quant8 -o bad/out", "missing fc.bias"),
    ("quantize bad/short.safetensors --scheme quant8 -o bad/out",
     "short.safetensors: damaged, truncated, or not a checkpoint"),
    (f"{Q} --scheme quant8 --data bad/cifar", "data_batch_1.bin"),
    (f"{Q} --scheme quant8 --data nowhere", "expected 'digits' or a folder of images, found no"),
    ("quantize models/resnet8_digits.safetensors --scheme quant8 -o bad/full",
     "bad/full exists and holds no network.json: not overwritten"),
    ("quantize models/resnet8_digits.safetensors --scheme quant8 -o bad/file",
     "bad/file is a file, expected a folder or a new name"),
    ("quantize models/resnet8_digits.safetensors --scheme quant8 -o bad/file/net", "cannot write"),
    ("quantize models/resnet8_digits.safetensors -o bad/out", "Missing option '--scheme'"),
    ("evaluate bad/edited", "hash: the contents give"),
    ("evaluate nowhere", "network.json: not found, expected an artefact"),
    ("evaluate nets/digits --split valid", "split must be train or test, not 'valid'"),
    ("evaluate nets/digits --images 0", "limit must be at least 1, not 0"),
    ("export bad/edited -o bad/out", "hash: the contents give"),
    ("export nets/digits -o bad/full", "bad/full exists and holds no weights.json"),
    ("export nets/digits --packing zip -o bad/out", "packing must be one of dense, u16x3, not"),
    ("export same/a --packing u16x3 -o bad/out", "takes pot5 weights, the network's are int8"),
    ("generate array --pes 0 -o bad/out", "array pes must be a positive integer, not 0"),
    ("generate array --pes 8193 -o bad/out", "array pes must be 1 to 128 slices of 1 to 64 lanes"),
    ("generate array --pes 16 --slices 129 -o bad/out", "array pes must be 129 slices"),
    ("generate array --pes 16 --scheme triple -o bad/out", "array scheme must be one of"),
    ("generate array --pes 16 --structure magic -o bad/out", "array structure must be one of"),
    ("generate array --pes 16 --target xc7 -o bad/out", "exists for target portable, not 'xc7'"),
    ("generate array --pes 16 --dsp -o bad/out", "needs a scheme with multipliers, not 'doubleq'"),
    ("generate array --pes 16 --accumulator-bits 60 -o bad/out", "must be 16 to 48, not 60"),
    ("generate array -o bad/out", "an array takes one of --pes, --layout and --fit"),
    ("generate array --fit xc7a100t:9% --pes 9 -o bad/out", "takes one of --pes, --layout and"),
    ("generate array --fit xc7a100t:9% --dsp -o bad/out", "--fit chooses slices, tree, target,"),
    ("generate array --fit xc7a100t -o bad/out", "budget must be a device and 0 to 100 % of it"),
    ("generate array --fit xc7z:9% -o bad/out", "device must be one of xc7a100t, xczu9eg, not"),
    ("generate array --fit xc7a100t:0.01% -o bad/out", "no doubleq array of 4 lanes or more fits"),
    ("generate array --fit xc7a100t:9% --structure booth -o bad/out", "no area model of structure"),
    ("generate array --fit xc7a100t:9% --scheme triple -o bad/out", "array scheme must be one of"),
    ("generate array --layout paper-8 -o bad/out", "layout must be one of paper-9"),
    ("generate array --pes x -o bad/out", "Invalid value for '--pes'"),
    ("generate array --pes 16 -o bad/full", "bad/full exists and holds no sidecar.json"),
    ("generate network nets/digits --weights flash -o bad/out", "core weights must be one of rom"),
    ("generate network nets/digits --like rtl_out/digits_16 -o bad/out", "its weights are fixed"),
    ("generate network nets/digits --like bad/full --pes 16 -o bad/out", "--like takes all knobs"),
    ("cosim nets/digits bad/full", "sidecar.json"),
    ("cosim same/a rtl_out/doubleq_16", "layer 'stem': has int8 weights, array_doubleq_1x16 takes"),
    ("cosim nets/digits rtl_out/doubleq_16 --layer 99", "layer must be 0 to 8 or one of stem"),
    ("cosim nets/digits rtl_out/doubleq_16 --layer 0 --all", "give either --layer or --all"),
    ("cosim nets/digits rtl_out/doubleq_16 --gaps 1", "--gaps must be at least 0 and below 1"),
    ("cosim nets/digits rtl_out/doubleq_16 --images 0", "--images must be at least 1"),
    ("cosim nets/digits rtl_out/doubleq_16 --simulator vcs", "simulator must be one of verilator"),
    ("cosim nets/digits rtl_out/doubleq_16 --netlist", "run 'doubleq synth rtl_out/doubleq_16 --"),
    ("synth rtl_out/doubleq_16 --device xc7z", "xc7z"),
    ("synth rtl_out/doubleq_16 --route ice40", "family to route on must be one of ecp5"),
    ("vivado rtl_out/doubleq_16 --board de10 -o bad/out", "de10"),
    ("vivado rtl_out/doubleq_16 --board zcu102 --clock 0 -o bad/out", "clock must be 1 to 1000"),
    ("bench golden --repeats 0", "repeats must be at least 1, not 0"),
    (f"{B} --rows magic", "rows must be some of paper, nearest, greedy,"),
    (f"{B} --rows ,", "sensitivity, not none"),
    (f"{B} --model resnet21", "model must be one of resnet8"),
    (f"{B} --data nowhere", "expected 'digits' or a folder of images, found nothing"),
    (f"{B} --data digits --data bad/cifar", "10 classes of images (3, 32, 32), expected 10 of"),
    (f"{B} --images 0", "limit must be at least 1, not 0"),
    (f"{B} --selection-images 5000", "leave none of the 1437 training images"),
    (f"{B} --executor threads", "executor must be one of inline, processes, dask"),
    ("bench accuracy nowhere.pt -o bad/out", "nowhere.pt"),
    ("bench accuracy models/resnet8_digits.safetensors -o bad/file", "bad/file is a file"),
    ("bench area --pes 2x -o bad/out", "PEs must be numbers or SLICESxLANES, separated by commas"),
    ("bench area --structures magic -o bad/out", "structures must be some of paper, merged,"),
    ("bench area --device xc7z -o bad/out", "device must be one of xc7a100t, xczu9eg, not 'xc7z'"),
    ("bench area --pes 9 --structures dsp2 -o bad/out", "none of the structures dsp2 exists for 9"),
    ("bench area --structures paper --model m -o bad/out", "a model is of all structures, not"),
    ("bench area --pes 9 -o bad/file", "bad/file is a file, expected a folder or a new name"),
    (f"{N} --pes 16,x", "--pes must be whole numbers separated by commas, not '16,x'"),
    (f"{N} --structures magic", "structures must be some of paper, merged,"),
    (f"{N} --device ice40", "device must be one of xc7a100t"),
    (f"{N} --clock 0", "clock must be more than 0 MHz, not 0"),
    ("bench network nowhere -o bad/out", "network.json: not found, expected an artefact"),
    ("bench network nets/digits -o bad/file", "bad/file is a file"),
    ("train --epochs 0 -o bad/out", "epochs"),
    ("train --data nowhere -o bad/out", "found nothing"),
    ("info bad/full", "network.json: not found"),
    ("frobnicate", "No such command 'frobnicate'"),
])
def test_bad_input(capsys, line, message):
    """One clear line, exit code 2, nothing half-written."""
    bad_files()
    before = sorted(Path("bad").rglob("*"))
    code, out, err = run(capsys, line)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.startswith("doubleq: ")
    assert err.count("\n") == 1
    assert sorted(Path("bad").rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_folder(capsys):
    Path("locked").mkdir(mode=0o500)
    code, _, err = run(capsys, "generate array --pes 4 -o locked/out")
    assert (code, "cannot write" in err) == (2, True)


def test_images_of_another_network(capsys, tmp_path):
    (tmp_path / "test_batch.bin").write_bytes(bytes(3073))
    code, _, err = run(capsys, f"evaluate nets/digits --data {tmp_path}")
    assert code == 2
    assert "cifar10" in err


def test_interrupted(workplace):
    """Ctrl-C: one line, exit code 2, nothing of the result; the search state stays for later."""
    line = [sys.executable, str(ROOT / "doubleq.py"), "train", "--epochs", "1000", "-o", "half"]
    process = subprocess.Popen(
        line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=workplace,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        # Where the tests run in the background, Ctrl-C is ignored, also by what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        time.sleep(15)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "doubleq: interrupted; nothing half-written is left" in err
    assert not list(workplace.glob("*half*"))


def test_sample_images_are_checked(capsys):
    shutil.copytree("nets/digits", "nets/odd", dirs_exist_ok=True)
    np.savez("nets/odd/sample.npz", pixels=np.zeros((1, 1, 9, 9), np.uint8))
    code, _, err = run(capsys, "cosim nets/odd rtl_out/doubleq_16")
    assert (code, "expected uint8 images of (1, 8, 8), found uint8 (1, 9, 9)" in err) == (2, True)
