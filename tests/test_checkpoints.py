import argparse
import os
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import checkpoints, data, resnet, train
from models.floatnet import FloatNetwork

SHARED = os.environ.get("DOUBLEQ_DATA")
needs_data = pytest.mark.skipif(SHARED is None, reason="DOUBLEQ_DATA is not set")


def network(model="resnet8", **options):
    """A float network whose tensors are all different."""
    torch.manual_seed(1)
    made = FloatNetwork(resnet.build(model, **options)).eval()
    for name, value in made.state_dict().items():
        if "norms" in name and "batches" not in name:
            value.uniform_(0.5, 2)
    return made


def torchvision(name):
    """The name in torchvision's scheme of a tensor of :class:`FloatNetwork`."""
    name = re.sub(r"^(layers|norms)\.(layer\d)_(\d)_", r"\1.\2.\3.", name)
    name = re.sub(r"^layers\.(.*)shortcut\.", r"\1downsample.0.", name)
    name = re.sub(r"^norms\.(.*)shortcut\.", r"\1downsample.1.", name)
    name = re.sub(r"^norms\.(.*)conv", r"\1bn", name)
    return (name.replace("norms.stem", "bn1").replace("layers.stem", "conv1")
            .removeprefix("layers."))


def cifar(name):
    """The name in akamaster's and kuangliu's schemes."""
    return torchvision(name).replace("downsample", "shortcut").replace("fc.", "linear.")


def renamed(made, scheme):
    return {scheme(name): value for name, value in made.state_dict().items()}


def assert_same(one, two):
    a, b = one.state_dict(), two.state_dict()
    assert a.keys() == b.keys()
    for name in a:
        if "batches" not in name:
            assert torch.equal(a[name], b[name]), name


# Names.

def test_torchvision_names():
    """The names of torchvision.models.resnet18, as its documentation and checkpoints have them."""
    names = {torchvision(name) for name in network("resnet18", width=4).state_dict()}
    assert len(names) == 122
    assert names >= {"conv1.weight", "bn1.running_var", "layer1.0.conv1.weight",
                     "layer1.1.bn2.num_batches_tracked", "layer2.0.downsample.0.weight",
                     "layer4.0.downsample.1.running_mean", "layer4.1.conv2.weight", "fc.weight",
                     "fc.bias"}


@pytest.mark.parametrize("scheme", [str, torchvision, cifar])
@pytest.mark.parametrize(("model", "options"), [
    ("resnet8", {}), ("resnet8", {"shortcut": "zero"}), ("resnet20", {"width": 4}),
    ("resnet20", {"classes": 100, "width": 4}), ("resnet18", {"width": 4}), ("mnist", {})])
def test_schemes(tmp_path, scheme, model, options):
    made = network(model, **options)
    torch.save(renamed(made, scheme), tmp_path / "net.pt")
    loaded = checkpoints.load(tmp_path / "net.pt", made.topology)
    assert_same(made, loaded)
    assert not loaded.training
    x = torch.randn(2, *made.topology.input_shape)
    assert torch.equal(made(x), loaded(x))


def test_mnist_example_names():
    """The names of PyTorch's MNIST example, which the paper's network is."""
    shapes = {"conv1.weight": (10, 1, 5, 5), "conv1.bias": (10,), "conv2.weight": (20, 10, 5, 5),
              "conv2.bias": (20,), "fc1.weight": (50, 320), "fc1.bias": (50,),
              "fc2.weight": (10, 50), "fc2.bias": (10,)}
    state = {name: torch.randn(shape) for name, shape in shapes.items()}
    made = checkpoints.fit(state, resnet.build("mnist"), where="example")
    assert torch.equal(made.layer("fc2").weight, state["fc2.weight"])
    assert made.norm("conv1") is None


@pytest.mark.parametrize("scheme", [torchvision, cifar])
@pytest.mark.parametrize("shortcut", ["conv", "zero"])
def test_load_model_finds_the_shortcut(tmp_path, scheme, shortcut):
    made = network("resnet8", shortcut=shortcut)
    torch.save(renamed(made, scheme), tmp_path / "net.pt")
    assert_same(made, checkpoints.load_model(tmp_path / "net.pt", "resnet8"))


def test_load_model_keeps_the_shortcut_asked_for(tmp_path):
    torch.save(renamed(network(shortcut="zero"), cifar), tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"missing layer2\.0\.downsample\.0\.weight, "):
        checkpoints.load_model(tmp_path / "net.pt", "resnet8", shortcut="conv")


# Containers.

@pytest.mark.parametrize("wrap", [
    lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
    lambda state: {"model": state, "args": argparse.Namespace(lr=0.1)},
    lambda state: {"net": state, "acc": np.float64(93.5), "epoch": np.int64(3)},
    lambda state: {"model_state_dict": OrderedDict(state), "loss": torch.tensor(1.0)},
    lambda state: {"model": {"state_dict": state}},
    lambda state: {f"module.{name}": value for name, value in state.items()},
    lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
    lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
])
@pytest.mark.parametrize("legacy", [False, True])
def test_containers(tmp_path, wrap, legacy):
    made = network()
    path = tmp_path / "net.pth.tar"
    torch.save(wrap(renamed(made, torchvision)), path,
               _use_new_zipfile_serialization=not legacy)
    assert_same(made, checkpoints.load(path, made.topology))


def test_safetensors_in_any_scheme(tmp_path):
    made = network()
    safetensors.torch.save_file(renamed(made, torchvision), tmp_path / "net.safetensors")
    assert_same(made, checkpoints.load(tmp_path / "net.safetensors", made.topology))


def test_cuda_tensors(tmp_path, monkeypatch):
    made = network()
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        torch.save(made.state_dict(), tmp_path / "net.pt")
    assert b"cuda:0" in (tmp_path / "net.pt").read_bytes()
    assert_same(made, checkpoints.load(tmp_path / "net.pt", made.topology))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_become_float32(dtype):
    made = network()
    state = {name: value.to(dtype) for name, value in made.state_dict().items()}
    loaded = checkpoints.fit(state, made.topology, where="net")
    assert loaded.layer("stem").weight.dtype == torch.float32
    torch.testing.assert_close(loaded.layer("stem").weight, made.layer("stem").weight,
                               rtol=2 ** -7, atol=1e-6)


# Saving.

@pytest.mark.parametrize("batch_norm", [False, True])
def test_save_and_load(tmp_path, batch_norm):
    made = FloatNetwork(resnet.build("resnet8"), batch_norm=batch_norm)
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        checkpoints.save(made, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths
    assert_same(made, checkpoints.load(paths[0], made.topology))
    assert not any("batches" in name for name in checkpoints.read(paths[0]))


def test_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt
    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(network(), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


# What does not fit.

def without(*names):
    return lambda state: {n: v for n, v in state.items() if n not in names}


def changed(name, change):
    return lambda state: {**state, name: change(state[name].clone())}


def poked(value):
    def change(tensor):
        tensor.view(-1)[-1] = value
        return tensor
    return change


@pytest.mark.parametrize(("change", "message"), [
    (without("fc.bias"), "net does not fit resnet8: missing fc.bias"),
    (without("bn1.running_mean", "layer1.0.conv2.weight"),
     "net does not fit resnet8: missing bn1.running_mean, layer1.0.conv2.weight"),
    (lambda state: {"fc.weight": state["fc.weight"]},
     "net does not fit resnet8: missing conv1.weight, conv1.bias, layer1.0.conv1.weight and 16 "
     "more"),
    (lambda state: {**state, "act_alpha": torch.tensor(1.0)},
     "net does not fit resnet8: unexpected act_alpha"),
    (lambda state: {**state, "conv1.bias": torch.zeros(16)},
     "net does not fit resnet8: unexpected conv1.bias"),
    (lambda state: {**{n: v for n, v in state.items() if n != "fc.bias"}, "head": torch.zeros(1)},
     "net does not fit resnet8: missing fc.bias; unexpected head"),
    (changed("fc.weight", lambda tensor: tensor[:7]),
     "net does not fit resnet8: fc.weight has shape [7, 64], expected [10, 64]"),
    (changed("layer2.0.downsample.0.weight", lambda tensor: tensor[:, :, 0, 0]),
     "net does not fit resnet8: layer2.0.downsample.0.weight has shape [32, 16], "
     "expected [32, 16, 1, 1]"),
    (changed("layer1.0.conv1.weight", poked(float("nan"))),
     "net: layer1.0.conv1.weight: NaN or infinite"),
    (changed("bn1.bias", poked(float("-inf"))), "net: bn1.bias: NaN or infinite"),
    (changed("bn1.running_var", poked(-0.1)), "net: bn1.running_var: negative variance"),
    (changed("conv1.weight", torch.Tensor.char),
     "net: conv1.weight: expected floating-point numbers, found torch.int8"),
    (lambda state: {**state, "linear.weight": state["fc.weight"]},
     "net: fc.weight and linear.weight are the same tensor"),
])
def test_refused(change, message):
    state = change(renamed(network(), torchvision))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        checkpoints.fit(state, resnet.build("resnet8"), where="net")


class Unknown:
    pass


@pytest.mark.parametrize(("content", "message"), [
    (torch.zeros(3), "expected a dictionary of tensors, found Tensor"),
    ([torch.zeros(3)], "expected a dictionary of tensors, found list"),
    ({}, "expected a dictionary of tensors, found an empty one"),
    ({"state_dict": {}}, "expected a dictionary of tensors, found an empty one"),
    ({"epoch": 3, "fc.weight": torch.zeros(3)}, "epoch: expected a tensor, found int"),
    ({3: torch.zeros(3)}, "expected names of tensors, found 3"),
    ({"model": torch.nn.Linear(1, 1)}, "damaged, truncated, or not a checkpoint of tensors "
                                       "and plain data only: it refers to "
                                       "torch.nn.modules.linear.Linear"),
])
def test_not_a_state(tmp_path, content, message):
    torch.save(content, tmp_path / "net.pt")
    message = re.escape(f"{tmp_path / 'net.pt'}: {message}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        checkpoints.read(tmp_path / "net.pt")


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "evil",)

    torch.save({"state_dict": Evil()}, tmp_path / "net.pt")
    with pytest.raises(ValueError, match=r"net\.pt: .* tensors and plain data only: it refers"):
        checkpoints.read(tmp_path / "net.pt")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", ["net.pt", "legacy.pt", "net.safetensors"])
@given(share=st.floats(0, 0.999))
@settings(max_examples=40, deadline=None)
def test_truncated(tmp_path_factory, kind, share):
    path = tmp_path_factory.mktemp("truncated") / kind
    made = network(width=1)
    if kind.endswith("safetensors"):
        checkpoints.save(made, path)
    else:
        torch.save(made.state_dict(), path, _use_new_zipfile_serialization=kind == "net.pt")
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    message = re.escape(f"{path}: damaged, truncated, or not a checkpoint")
    # Cut inside the name of a type, the file refers to another one.
    with pytest.raises(ValueError, match=f"^{message}( of .* it refers to \\S+)?$"):
        checkpoints.read(path)


@pytest.mark.parametrize("name", ["net.pt", "net.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello, world", b"PK\x03\x04", b"\x80\x02}", b"\0" * 99])
def test_not_a_checkpoint(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"net\.\w+: damaged, truncated, or not a checkpoint$"):
        checkpoints.read(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(OSError, match=r"none\.pt"):
        checkpoints.read(tmp_path / "none.pt")
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        checkpoints.read(tmp_path)


# Real files.

@needs_data
def test_paper_resnet20():
    made = checkpoints.load(Path(SHARED) / "checkpoints" / "resnet20_float32.pth.tar",
                            resnet.build("resnet20"))
    images = data.load(Path(SHARED) / "cifar10", "test", limit=100)
    assert train.accuracy(made, images).top1 >= 96


@needs_data
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_networks_of_another_kind_are_refused(bits):
    path = Path(SHARED) / "checkpoints" / f"resnet20_apot_w{bits}a{bits}.pth.tar"
    message = re.escape(
        f"{path} does not fit resnet20: unexpected layer1.0.conv1.act_alpha, "
        f"layer1.0.conv1.weight_quant.wgt_alpha, layer1.0.conv2.act_alpha and 37 more")
    with pytest.raises(ValueError, match=f"^{message}$"):
        checkpoints.load(path, resnet.build("resnet20"))


@needs_data
def test_other_depth_is_refused():
    path = Path(SHARED) / "checkpoints" / "resnet20_float32.pth.tar"
    with pytest.raises(ValueError, match=r"does not fit resnet32: missing layer1\.3\.conv1\.weigh"):
        checkpoints.load(path, resnet.build("resnet32"))
