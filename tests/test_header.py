"""The C header of a core, and what it says of the load."""

import re
import subprocess
import zlib

import pytest

from gen.core_parameters import core_from_pes
from gen.export_core import export_core
from gen.header import c_header
from models.quantize import assign
from tests.networks import every_op, make_quantizer

TOPOLOGY = every_op()


@pytest.fixture(scope="module", params=["rom", "load"])
def exported(request):
    network = make_quantizer(TOPOLOGY).network(
        assign(TOPOLOGY, scheme="doubleqext", critical=("conv1",)), scheme="doubleqext")
    return network, *export_core(network, core_from_pes(
        16, scheme="doubleqext", structure="booth", accumulator_bits=24, weights=request.param))


def test_header(exported):
    network, contents, sidecar = exported
    top, prefix = sidecar["top"], sidecar["top"].upper()
    text = contents[f"{top}.h"].decode()
    assert text == c_header(TOPOLOGY, sidecar)
    found = dict(re.findall(rf"^#define {prefix}_(\w+) \"?(\w+)\"?$", text, re.MULTILINE))
    assert found["ARTEFACT"] == network.hash
    assert found["VERILOG_SHA256"] == sidecar["verilog_sha256"]
    assert (found["IMAGE_BYTES"], found["CLASSES"]) == (str(3 * 18 * 18), "5")
    for port in sidecar["ports"]:
        assert re.search(rf"^ \*   {port['direction']} +{port['name']} +{port['width']}\b", text,
                         re.MULTILINE)
    if sidecar["load"] is None:
        assert not re.search(r"\bload|_LOAD_", text)
        return
    image, end = contents["weights.bin"], 0
    for memory in ("pot5", "int8", "constants"):
        first, rows, bits, words = (int(found[f"LOAD_{memory.upper()}_{name}"])
                                    for name in ("FIRST", "ROWS", "BITS", "WORDS"))
        assert (first, words) == (end, (bits + 31) // 32)
        end += rows * words
        # Beyond its bits, a row is zero.
        for row in range(rows):
            at = 4 * (first + row * words)
            assert int.from_bytes(image[at:at + 4 * words], "little") >> bits == 0
    assert int(found["LOAD_WORDS"]) == end + 1 == len(image) // 4
    assert found["LOAD_CRC32"] == f"0x{sidecar['load']['crc32']:08x}u"
    assert sidecar["load"]["crc32"] == zlib.crc32(image[:-4])
    assert zlib.crc32(image[:-4]).to_bytes(4, "little") == image[-4:]


def test_compiles(exported, tmp_path):
    _, contents, sidecar = exported
    name = f"{sidecar['top']}.h"
    (tmp_path / name).write_bytes(contents[name])
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-std=c99", "-fsyntax-only",
                    tmp_path / name], check=True)
