"""Checkpoints of float networks: PyTorch's and safetensors', under the names in common use."""

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

import files
from models import resnet
from models.floatnet import FloatNetwork
from models.topology import Node, Topology

__all__ = ["fit", "load", "load_model", "read", "save", "serialize"]

NESTS = ("state_dict", "model_state_dict", "model", "net", "network")
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
IGNORED = ".num_batches_tracked"
NORM_FIELDS = ("weight", "bias", "running_mean", "running_var")

# Plain data that training scripts keep beside the tensors: options, and accuracies as NumPy
# scalars, under the names of NumPy 1 and 2.
SCALAR = np.float64().__reduce__()[0]
PLAIN: list[Any] = [
    argparse.Namespace, np.dtype, *(type(np.dtype(name)) for name in ("f4", "f8", "i8")),
    *((SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core"))]


def read(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, on the CPU: out of the dictionaries that training scripts
    nest them in, without the prefix of a wrapper that all names have.

    Runs no code of the file: ``torch.load`` is always called with ``weights_only``.

    Parameters
    ----------
    path : path
        A safetensors file if its suffix is ``.safetensors``, else one of ``torch.save``.

    Raises
    ------
    :exc:`ValueError`
        If the file is damaged or truncated, or holds something else than tensors.
    :exc:`OSError`
        If the file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            if path.suffix == ".safetensors":
                content: Any = safetensors.torch.load(file.read())
            else:
                with torch.serialization.safe_globals(PLAIN):
                    content = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            refused = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
            more = f" of tensors and plain data only: it refers to {refused[1]}" if refused else ""
            raise ValueError(f"{path}: damaged, truncated, or not a checkpoint{more}") from None
    while isinstance(content, dict) and (
            nested := [content[name] for name in NESTS if isinstance(content.get(name), dict)]):
        content = nested[0]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"{path}: expected a dictionary of tensors, found "
                         f"{'an empty one' if content == {} else type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str):
            raise ValueError(f"{path}: expected names of tensors, found {name!r}")
        if not isinstance(value, Tensor):
            raise ValueError(f"{path}: {name}: expected a tensor, found {type(value).__name__}")
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in content)), None):
        content = {name.removeprefix(prefix): value for name, value in content.items()}
    return content


def _modules(node: Node) -> tuple[list[str], list[str]]:
    """Names that a layer, and its batch norm, have in checkpoints, the name for messages first.

    ``conv1``, ``bn1``, ``layerI.J.convK``, ``layerI.J.bnK``, ``downsample.0`` and ``.1``, ``fc``
    are torchvision's; ``shortcut.0`` and ``.1``, ``linear`` those of the common CIFAR networks;
    the last is :class:`FloatNetwork`'s own.
    """
    block, _, last = node.name.rpartition(".")
    key = node.name.replace(".", "_")
    if last == "shortcut":
        layers = [f"{block}.{name}.0" for name in ("downsample", "shortcut")]
        norms = [f"{block}.{name}.1" for name in ("downsample", "shortcut")]
    else:
        layers = {"stem": ["conv1"], "fc": ["fc", "linear"]}.get(node.name, [node.name])
        norms = [layers[0].replace("conv", "bn")]
    return [*layers, f"layers.{key}"], [*norms, f"norms.{key}"]


def _names(network: FloatNetwork) -> dict[str, list[str]]:
    """Names in checkpoints of every tensor of ``network``, by its name there."""
    names = {}
    for node in network.topology.weighted:
        layers, norms = _modules(node)
        norm = network.norm(node.name) is not None
        fields = ["weight"] if norm else ["weight", "bias"]
        for modules, kinds in ((layers, fields), (norms, NORM_FIELDS if norm else ())):
            for field in kinds:
                names[f"{modules[-1]}.{field}"] = [f"{module}.{field}" for module in modules]
    return names


def _list(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def fit(state: dict[str, Tensor], topology: Topology, *, where: str) -> FloatNetwork:
    """The float network of ``topology`` with the tensors of ``state``, in evaluation mode.

    The network has batch norm if ``state`` has. Counters of batches are ignored.

    Parameters
    ----------
    state : :class:`dict`
        Floating-point tensors by name, as :func:`read` gives them.
    where : :class:`str`
        What to call ``state`` in messages.

    Raises
    ------
    :exc:`ValueError`
        If a tensor is missing, is there twice under two names, is unexpected, has another shape
        or type, is NaN or infinite, or is a negative variance. The message names the tensor.
    """
    found = {name: value for name, value in state.items() if not name.endswith(IGNORED)}
    norm = any(name.endswith(".running_var") for name in found)
    network = FloatNetwork(topology, batch_norm=norm)
    parameters = network.state_dict()
    missing, shapes = [], []
    for own, aliases in _names(network).items():
        present = [name for name in aliases if name in found]
        if not present:
            missing.append(aliases[0])
            continue
        if len(present) > 1:
            raise ValueError(f"{where}: {present[0]} and {present[1]} are the same tensor")
        name, value = present[0], found.pop(present[0])
        expected = parameters[own].shape
        if value.shape != expected:
            shapes.append(f"{name} has shape {list(value.shape)}, expected {list(expected)}")
        elif not value.is_floating_point():
            raise ValueError(f"{where}: {name}: expected floating-point numbers, "
                             f"found {value.dtype}")
        elif not value.isfinite().all():
            raise ValueError(f"{where}: {name}: NaN or infinite")
        elif name.endswith(".running_var") and (value < 0).any():
            raise ValueError(f"{where}: {name}: negative variance")
        else:
            parameters[own] = value.float()
    problems = [f"{what} {_list(names)}" for what, names in
                (("missing", missing), ("unexpected", list(found))) if names]
    if problems or shapes:
        raise ValueError(f"{where} does not fit {topology.model}: "
                         f"{'; '.join([*problems, *shapes[:3]])}")
    network.load_state_dict(parameters)
    return network.eval()


def load(path: str | Path, topology: Topology) -> FloatNetwork:
    """The float network of ``topology`` with the tensors of a file: :func:`fit` of :func:`read`."""
    return fit(read(path), topology, where=str(path))


def load_model(path: str | Path, model: str, **options: Any) -> FloatNetwork:
    """:func:`load` of a model of :func:`resnet.build`.

    Shortcuts are of zero padding if the file has no tensors of shortcuts and ``options`` does not
    say otherwise.
    """
    topology, state = resnet.build(model, **options), read(path)
    names = {f"{module}.weight" for node in topology.convs if node.name.endswith(".shortcut")
             for module in _modules(node)[0]}
    if names and "shortcut" not in options and names.isdisjoint(state):
        topology = resnet.build(model, **options, shortcut="zero")
    return fit(state, topology, where=str(path))


def serialize(network: FloatNetwork) -> bytes:
    """``network`` as safetensors under its own names; the same tensors give the same bytes."""
    return safetensors.torch.save({
        name: value.contiguous() for name, value in network.state_dict().items()
        if not name.endswith(IGNORED)})


def save(network: FloatNetwork, path: str | Path) -> None:
    """Writes :func:`serialize`'s bytes.

    Raises
    ------
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    files.write_bytes(Path(path), serialize(network))
