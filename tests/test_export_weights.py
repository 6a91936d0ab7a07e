import json
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from networks import every_op, make_quantizer

from models import export as packed
from models import formats
from models.topology import INPUT, Node, Topology

FORMATS = {"stem": "int8", "conv1": "pot4", "conv2": "pot5", "short": "pot3", "conv3": "pot5",
           "fc1": "pot5", "fc2": "int8"}
# Prints of each layer its shape, weights, biases, multipliers and shifts, from what the header
# itself says of packings and codes.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include "weights.h"

static unsigned code(const struct doubleq_layer *layer, unsigned long k)
{
    unsigned value = 0, i;
    if (layer->u16x3)
        return layer->u16x3[k / 3] >> (5 * (k % 3)) & 31u;
    for (i = 0; i < layer->bits; i++) {
        unsigned long bit = k * layer->bits + i;
        value |= (layer->dense[bit / 8] >> (bit % 8) & 1u) << i;
    }
    return value;
}

static int weight(const struct doubleq_layer *layer, unsigned value)
{
    int half = 1 << (layer->bits - 1);
    int field = (int)value & (half - 1), sign = (int)value & half;
    if (!strcmp(layer->format, "int8"))
        return field - sign;
    if (field < 1 || field < half - 8)
        return 0;
    return (sign ? -1 : 1) * (1 << (field + 8 - half));
}

int main(void)
{
    unsigned i, j;
    for (i = 0; i < DOUBLEQ_LAYERS; i++) {
        const struct doubleq_layer *layer = &doubleq_layers[i];
        const uint32_t *shape = layer->shape;
        unsigned long k, count = (unsigned long)shape[0] * shape[1] * shape[2] * shape[3];
        printf("%s %s %u %u %u %u", layer->name, layer->format, (unsigned)shape[0],
               (unsigned)shape[1], (unsigned)shape[2], (unsigned)shape[3]);
        for (k = 0; k < count; k++)
            printf(" %d", weight(layer, code(layer, k)));
        for (j = 0; j < shape[0]; j++)
            printf(" %ld", (long)layer->bias[j]);
        for (j = 0; layer->multiplier && j < shape[0]; j++)
            printf(" %u", (unsigned)layer->multiplier[j]);
        printf(" %u %u %u\n", (unsigned)layer->shift, (unsigned)layer->residual_multiplier,
               (unsigned)layer->residual_shift);
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def quantizer():
    return make_quantizer(every_op())


@pytest.fixture(scope="module")
def network(quantizer):
    return quantizer.network(FORMATS, scheme="doubleqext")


@pytest.fixture(scope="module", params=packed.PACKINGS)
def exported(request, network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "weights"
    return folder, packed.export(network, folder, packing=request.param)


def tool(name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def read_mem(path):
    return path.read_text().split()


def read_coe(path):
    radix, vector = re.fullmatch(r"memory_initialization_radix=(\d+);\s*"
                                 r"memory_initialization_vector=\s*([^;]+);\s*",
                                 path.read_text()).groups()
    assert radix == "16"
    return [word.strip() for word in vector.split(",")]


def unpack(entry, words):
    """Codes of a layer, from the hexadecimal words of its file."""
    assert {len(word) for word in words} == {entry["word_bits"] // 4}
    content = b"".join(int(word, 16).to_bytes(entry["word_bits"] // 8, "little")
                       for word in words)
    assert (len(words), len(content)) == (entry["words"], entry["bytes"])
    if entry["packing"] == "u16x3":
        return formats.unpack_u16x3(content, entry["weights"])
    return formats.unpack_dense(content, entry["bits"], entry["weights"])


@pytest.mark.parametrize("kind", ["mem", "coe"])
def test_memory_files_hold_the_codes(network, exported, kind):
    folder, content = exported
    for entry in content["layers"]:
        words = {"mem": read_mem, "coe": read_coe}[kind](folder / entry["files"][kind])
        codes = unpack(entry, words).astype(np.uint8)
        expected = network.layers[entry["name"]].codes.reshape(-1).view(np.uint8)
        assert (codes & (1 << entry["bits"]) - 1 == expected & (1 << entry["bits"]) - 1).all()


def test_header_in_c(network, exported, tmp_path):
    folder, _ = exported
    (tmp_path / "main.c").write_text(PROGRAM)
    done = subprocess.run(
        [tool("gcc"), "-std=c99", "-Wall", "-Wextra", "-pedantic", "-I", folder, "main.c", "-o",
         "main"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stderr == ""
    lines = subprocess.run([tmp_path / "main"], check=True, capture_output=True,
                           text=True).stdout.splitlines()
    for line, node in zip(lines, network.topology.weighted, strict=True):
        name, fmt, *numbers = line.split()
        layer = network.layers[node.name]
        multiplier = [] if layer.multiplier is None else layer.multiplier.tolist()
        assert (name, fmt) == (node.name, layer.format)
        assert [int(number) for number in numbers] == [
            *(*node.weight_shape, 1, 1)[:4], *layer.weights.reshape(-1).tolist(),
            *layer.bias.tolist(), *multiplier,
            layer.shift, layer.residual_multiplier, layer.residual_shift]


def test_header_alone_has_no_warnings(exported, tmp_path):
    """A file that includes it twice and uses nothing of it."""
    folder, _ = exported
    (tmp_path / "empty.c").write_text('#include "weights.h"\n#include "weights.h"\nint x;\n')
    done = subprocess.run(
        [tool("gcc"), "-std=c99", "-Wall", "-Wextra", "-pedantic", "-fsyntax-only", "-I", folder,
         "empty.c"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_readmemh(exported, tmp_path):
    folder, content = exported
    iverilog = tool("iverilog")
    entry = next(entry for entry in content["layers"] if entry["name"] == "conv2")
    (tmp_path / "load.v").write_text(f"""\
module load;
  reg [{entry["word_bits"] - 1}:0] memory [0:{entry["words"] - 1}];
  integer i;
  initial begin
    $readmemh("{folder / entry["files"]["mem"]}", memory);
    for (i = 0; i < {entry["words"]}; i = i + 1) $display("%h", memory[i]);
  end
endmodule
""")
    subprocess.run([iverilog, "-g2005", "-Wall", "-o", "load", "load.v"], cwd=tmp_path, check=True)
    done = subprocess.run(["vvp", "load"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout.split() == read_mem(folder / entry["files"]["mem"])


def test_description(network, exported):
    folder, content = exported
    assert json.loads((folder / "weights.json").read_text()) == content
    assert content["artefact"] == network.hash
    assert {entry["name"]: entry["format"] for entry in content["layers"]} == FORMATS
    names = {name for entry in content["layers"] for name in entry["files"].values()}
    assert {path.name for path in folder.iterdir()} == {"weights.json", content["header"], *names}
    assert str(folder.parent) not in "".join(path.read_text() for path in folder.iterdir())
    for entry in content["layers"]:
        words = content["packing"] == "u16x3" and entry["format"] == "pot5"
        assert entry["packing"] == ("u16x3" if words else "dense")
        assert entry["bytes"] == (2 * -(-entry["weights"] // 3) if words
                                  else -(-entry["weights"] * entry["bits"] // 8))


@pytest.mark.parametrize(("fmt", "packing", "times_float32", "times_int8"), [
    ("pot5", "dense", 6.4, 1.6), ("pot5", "u16x3", 6.0, 1.5), ("pot4", "dense", 8.0, 2.0),
    ("pot3", "dense", 10.667, 2.667), ("int8", "dense", 4.0, 1.0)])
def test_totals(quantizer, tmp_path, fmt, packing, times_float32, times_int8):
    """The paper's ratios of the convolutions; in full against a count by hand."""
    topology = quantizer.topology
    scheme = "quant8" if fmt == "int8" else "doubleq"
    network = quantizer.network({node.name: fmt for node in topology.weighted}, scheme=scheme)
    content = packed.export(network, tmp_path / "weights", packing=packing)
    conv, full = content["totals"]["conv"], content["totals"]["full"]
    assert (conv["times_float32"], conv["times_int8"]) == (times_float32, times_int8)
    conv_weights = 3 * 4 * 25 + 4 * 5 * 9 + 5 * 6 * 9 + 4 * 6 + 6 * 6 * 9
    assert conv["float32_bytes"] == 4 * conv_weights
    if packing == "dense":
        assert conv["bytes"] == network.conv_bytes
        assert full["bytes"] == network.full_bytes
    outputs, requantized = 4 + 5 + 6 + 6 + 6 + 8 + 5, 4 + 5 + 6 + 6 + 6 + 8
    others = 4 * outputs + 2 * requantized + 2 * 1 + 2 * 2 + 3 * 256
    weights = conv_weights + 24 * 8 + 8 * 5
    assert full["bytes"] == others + sum(entry["bytes"] for entry in content["layers"])
    assert full["int8_bytes"] == others + weights
    assert full["float32_bytes"] == 4 * (weights + outputs)


def test_same_network_same_bytes(network, tmp_path):
    for name in ("a", "b", "a"):
        packed.export(network, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_replaces_only_an_export(network, tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(ValueError, match=r"exists and holds no weights\.json: not overwritten$"):
        packed.export(network, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_unknown_packing(network):
    with pytest.raises(ValueError, match=r"^packing must be one of dense, u16x3, not 'zip'$"):
        packed.pack(network, "zip")


def test_u16x3_needs_pot5(quantizer):
    network = quantizer.network({**dict.fromkeys(FORMATS, "pot4"), "fc2": "int8"},
                                scheme="doubleqext")
    with pytest.raises(ValueError, match=r"^packing u16x3 takes pot5 weights, the network's are "
                                         r"int8, pot4$"):
        packed.pack(network, "u16x3")


def two_layers(first, second):
    """A network whose layers have these names, which need not be ones that PyTorch takes."""
    def topology(conv, fc):
        return Topology("two", (1, 4, 4), (Node(conv, "conv", INPUT, 1, 2, 4),
                                           Node(fc, "fc", conv, 2, 2)))

    network = make_quantizer(topology("conv", "fc")).network({"conv": "pot5", "fc": "pot5"},
                                                             scheme="doubleq")
    return replace(network, topology=topology(first, second),
                   layers={first: network.layers["conv"], second: network.layers["fc"]})


@pytest.mark.parametrize(("first", "second", "identifier"), [
    ("a.b", "a_b", "a_b"), ("a b", "A-B", "A_B")])
def test_identifiers_are_unique(first, second, identifier):
    with pytest.raises(ValueError, match=f"^layers '{first}' and '{second}': names must differ in "
                                         f"letters and digits, both give '{identifier}'$"):
        packed.pack(two_layers(first, second))


def test_any_name_stays_inside(tmp_path):
    """Neither C nor the folder sees more of a name than letters, digits and underscores."""
    network = two_layers("../0*/", 'é"\\')
    content = packed.export(network, tmp_path / "weights")
    assert [entry["identifier"] for entry in content["layers"]] == ["___0__", "___"]
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    subprocess.run([tool("gcc"), "-std=c99", "-Wall", "-Werror", "-fsyntax-only", "-x", "c",
                    tmp_path / "weights" / "weights.h"], check=True)
