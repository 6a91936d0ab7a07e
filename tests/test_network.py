import io
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from networks import every_op, make_quantizer, random_pixels

from models import network as artefact
from models.golden import GoldenNetwork
from models.quantize import assign


@pytest.fixture(scope="module")
def network():
    topology = every_op()
    assigned = assign(topology, scheme="doubleqext", critical=("conv1",))
    return make_quantizer(topology).network(assigned, scheme="doubleqext",
                                            about={"command": "test"})


@pytest.fixture
def saved(network, tmp_path):
    network.save(tmp_path / "net")
    return tmp_path / "net"


def test_round_trip(network, saved):
    loaded = artefact.load(saved)
    assert loaded.hash == network.hash
    assert loaded.topology == network.topology
    assert loaded.about == {"command": "test"}
    pixels = random_pixels(network.topology.input_shape, images=2)
    assert (GoldenNetwork(loaded).logits(pixels) == GoldenNetwork(network).logits(pixels)).all()


def test_deterministic(network, tmp_path):
    for name in ("a", "b"):
        network.save(tmp_path / name)
    for file in ("network.json", "weights.npz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_replaces_only_an_artefact(network, saved, tmp_path):
    network.save(saved)
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious").touch()
    with pytest.raises(ValueError, match=r"other exists and holds no network.json"):
        network.save(other)
    assert [p.name for p in other.iterdir()] == ["precious"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net", "other"]


def test_hash_covers_every_number(network):
    conv1 = network.layers["conv1"]
    changes = [
        {"codes": -conv1.codes}, {"bias": conv1.bias + 1}, {"multiplier": conv1.multiplier ^ 1},
        {"shift": conv1.shift + 1}, {"weight_scale": (2.0, *conv1.weight_scale[1:])}]
    hashes = {network.hash}
    for change in changes:
        layers = {**network.layers, "conv1": replace(conv1, **change)}
        hashes.add(replace(network, layers=layers).hash)
    table = network.table.copy()
    table[0, 0] ^= 1
    hashes.add(replace(network, table=table).hash)
    assert len(hashes) == 2 + len(changes)
    assert replace(network, about={}).hash == network.hash


def edit_json(folder, change):
    content = json.loads((folder / "network.json").read_text())
    change(content)
    (folder / "network.json").write_text(json.dumps(content))


def layer(content, name):
    return next(entry for entry in content["layers"] if entry["name"] == name)


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: c.pop("schema"), "network: schema: missing"),
    (lambda c: c.update(schema=2), "schema: this version reads 1, found 2"),
    (lambda c: c.update(extra=1), "network: extra: unexpected field"),
    (lambda c: c.update(scheme="triple"), "network: scheme: expected one of quant8"),
    (lambda c: c["table"].pop(), r"table: expected int8 \[3, 256\], found int8 \[2, 256\]"),
    (lambda c: c["table"][0].__setitem__(0, 128), "table: entries must be -128 to 127"),
    (lambda c: layer(c, "conv1").pop("shift"), "layer 'conv1': shift: missing"),
    (lambda c: layer(c, "conv1").update(shift="1"),
     "layer 'conv1': shift: expected int, found '1'"),
    (lambda c: layer(c, "conv1").update(shift=0), "layer 'conv1': shift: expected 1 to 46"),
    (lambda c: layer(c, "conv1").update(format="pot9"), "layer 'conv1': format: expected one of"),
    (lambda c: layer(c, "conv1").update(format="pot5"),
     r"layer 'conv1': codes: expected uint8 \[5, 4, 3, 3\], found int8"),
    (lambda c: layer(c, "conv1")["output"].update(scale=-1.0),
     "layer 'conv1': scale: expected a positive number, found -1.0"),
    (lambda c: layer(c, "conv1")["output"].update(zero_point=0),
     "layer 'conv1': zero_point: expected -128 after relu, found 0"),
    (lambda c: layer(c, "conv1").update(in_channels=5), "layer 'conv1': in_channels is 5"),
    (lambda c: layer(c, "conv2").update(residual_multiplier=0),
     "layer 'conv2': residual_multiplier: expected 1 to 65535 with a residual, else 0, found 0"),
    (lambda c: layer(c, "pool1")["output"].update(scale=9.0),
     "layer 'pool1': output: expected its input's quantization"),
    (lambda c: c["layers"].pop(), "layer 'fc1': the last layer must be|weights.npz: fc2/codes"),
    (lambda c: layer(c, "conv1").update(shift=layer(c, "conv1")["shift"] + 1),
     "hash: the contents give"),
    (lambda c: c["input"].update(scale=0.5), "hash: the contents give"),
])
def test_edited_json(saved, change, message):
    edit_json(saved, change)
    with pytest.raises(ValueError, match=message) as error:
        artefact.load(saved)
    assert str(saved / "network.json") in str(error.value)
    assert "\n" not in str(error.value)


def rewrite(folder, **arrays):
    with np.load(folder / "weights.npz") as archive:
        content = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        content[name] = array
    np.savez(folder / "weights.npz", **content)


@pytest.mark.parametrize(("name", "array", "message"), [
    ("conv1/codes", np.full((5, 4, 3, 3), -128, np.int8), "layer 'conv1': codes: int8 codes are"),
    ("conv2/codes", np.full((6, 5, 3, 3), 32, np.uint8), "layer 'conv2': codes: pot5 codes are"),
    ("conv2/codes", np.zeros((6, 5, 3, 2), np.uint8), r"layer 'conv2': codes: expected uint8"),
    ("conv1/bias", np.zeros(5, np.int64), r"'conv1': bias: expected int32 \[5\], found int64"),
    ("conv1/bias", np.full(5, 2**31 - 1, np.int32), "accumulators of at most 32 bits, found 33"),
    ("conv1/multiplier", np.zeros(4, np.uint16), r"multiplier: expected uint16 \[5\]"),
    ("fc2/multiplier", np.zeros(5, np.uint16), "layer 'fc2': multiplier: expected nothing"),
    ("ghost/codes", np.zeros(5, np.uint8), "ghost/codes: belongs to no layer"),
    ("conv1/bias", np.zeros(5, np.int32), "hash: the contents give"),
])
def test_edited_arrays(saved, name, array, message):
    rewrite(saved, **{name: array})
    with pytest.raises(ValueError, match=message):
        artefact.load(saved)


def test_truncated_arrays(saved):
    path = saved / "weights.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"weights.npz: damaged or truncated"):
        artefact.load(saved)


def test_pickled_arrays_are_refused(saved):
    with zipfile.ZipFile(saved / "weights.npz", "w") as archive:
        buffer = io.BytesIO()
        np.save(buffer, np.array([{}], object), allow_pickle=True)
        archive.writestr("stem/codes.npy", buffer.getvalue())
    with pytest.raises(ValueError, match=r"weights.npz: damaged or truncated"):
        artefact.load(saved)


def test_truncated_json(saved):
    path = saved / "network.json"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"network.json: not JSON"):
        artefact.load(saved)


@pytest.mark.parametrize("name", ["network.json", "weights.npz"])
def test_missing_file(saved, name):
    (saved / name).unlink()
    with pytest.raises(ValueError, match=rf"{name}: not found, expected an artefact"):
        artefact.load(saved)


def test_accumulator_bits(network):
    """Just wide enough for the worst input, in any order of summation."""
    for node in network.topology.weighted:
        numbers = network.layers[node.name]
        for with_bias in (False, True):
            bound = max(128 * int(np.abs(row).sum()) + with_bias * abs(int(bias))
                        for row, bias in zip(numbers.weights, numbers.bias, strict=True))
            bits = numbers.accumulator_bits(with_bias=with_bias)
            assert -(1 << (bits - 1)) <= -bound
            assert bound <= (1 << (bits - 1)) - 1
            assert bound > (1 << (bits - 2)) - 1


def test_full_bytes(network):
    """Codes of each layer padded to a byte, 4 bytes a bias, 2 a multiplier, 256 a table."""
    by_hand = 3 * 256
    for node in network.topology.nodes:
        numbers = network.layers[node.name]
        if node.weighted:
            bits = {"int8": 8, "pot5": 5}[numbers.format]
            by_hand += -(-node.weight_count * bits // 8) + 4 * node.out_channels
        if numbers.multiplier is not None:
            by_hand += 2 * len(numbers.multiplier)
        by_hand += 2 if node.residual else 0
    assert network.full_bytes == by_hand
