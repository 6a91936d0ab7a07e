"""The whole way from a float network and images to an artefact, and from an artefact to figures."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models import checkpoints, network, select
from models.allocate import sensitivity_curve
from models.calibrate import calibrate, observe
from models.data import Images, Normalization
from models.evaluate import Accuracy, evaluate, normalized
from models.fakequant import FakeQuantized
from models.floatnet import FloatNetwork
from models.golden import GoldenNetwork
from models.network import Network
from models.prefix import PrefixEvaluator, Run, inline
from models.quantize import Quantizer, assign, fold
from models.reconstruct import affordable, reconstruct
from models.rounding import ROUNDINGS

__all__ = ["Progress", "Recipe", "compare", "digest", "load_checkpoint", "load_float",
           "load_sample", "quantize", "save", "split"]

FLOAT_FILE = "float.safetensors"
SAMPLE_FILE = "sample.npz"
SAMPLE_IMAGES = 16
CALIBRATED = "calibrated"
BATCH = 50

Progress = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to quantize.

    Parameters
    ----------
    scheme : :class:`str`
        ``quant8``, ``doubleq`` or ``doubleqext``.
    format : :class:`str`
        Power-of-two format.
    rounding : :class:`str`
        Level-two rounding: ``log``, ``nearest`` or ``calibrated`` (:mod:`models.reconstruct`).
    calibration : :class:`str`
        Calibration of activations; ``percentile`` keeps this much, in per cent.
    per_tensor : :class:`bool`
        One weight scale a layer.
    selection : :class:`str`
        Of layers for ``doubleqext``: ``greedy`` (Algorithm 1) or ``sensitivity``
        (:mod:`models.allocate`).
    mrt : :class:`float`
        Minimum recovery threshold of Algorithm 1, in per cent.
    formats : tuple of :class:`str` or None
        Formats that ``sensitivity`` chooses from; ``format`` and int8 by default.
    budget_kb, max_loss : :class:`float` or None
        For ``sensitivity``, one of them: memory of the convolutions in kB, or the loss of
        accuracy against Quant8 on the selection images, in points.
    critical : tuple of :class:`str` or None
        Convolutions that stay int8, by name or number, instead of a search.
    assigned : mapping or None
        Format of every layer that has weights, for ``doubleqext`` instead of a search.
    calibration_images, selection_images : :class:`int`
        How many of the first and last training images calibrate and select.
    paper_protocol : :class:`bool`
        Whether Algorithm 1 selects on test images, as the paper did.
    """

    scheme: str
    format: str = "pot5"
    rounding: str = "nearest"
    calibration: str = "mse"
    percentile: float = 99.99
    per_tensor: bool = False
    selection: str = "greedy"
    mrt: float = 80.0
    formats: tuple[str, ...] | None = None
    budget_kb: float | None = None
    max_loss: float | None = None
    critical: tuple[str, ...] | None = None
    assigned: Mapping[str, str] | None = None
    calibration_images: int = 1500
    selection_images: int = 500
    paper_protocol: bool = False


def split(train: Images, recipe: Recipe) -> tuple[Images, Images]:
    """The training images that calibrate, from the front, and that select, from the end; never the
    same one.

    Raises
    ------
    :exc:`ValueError`
        If there are too few.
    """
    for name, value in (("calibration", recipe.calibration_images),
                        ("selection", recipe.selection_images)):
        if value < 1:
            raise ValueError(f"{name} images must be at least 1, not {value}")
    front = min(recipe.calibration_images, len(train) - recipe.selection_images)
    if front < 1:
        raise ValueError(f"{train.name}: {recipe.selection_images} images for selection leave none "
                         f"of the {len(train)} training images for calibration")
    return train.take(0, front), train.take(-recipe.selection_images, None)


def _tensors(images: Images, normalization: Normalization) -> Iterator[torch.Tensor]:
    for pixels, _ in images.batches(BATCH):
        yield normalized(pixels, normalization.mean, normalization.std)


def _critical(names: tuple[str, ...], float_network: FloatNetwork) -> tuple[str, ...]:
    convs = [node.name for node in float_network.topology.convs]
    return tuple(convs[int(name)] if name.isdecimal() and int(name) < len(convs) else name
                 for name in names)


def _check_assigned(assigned: Mapping[str, str], topology: network.Topology) -> None:
    names = {node.name for node in topology.weighted}
    if set(assigned) != names:
        raise ValueError(f"formats must be assigned to every layer that has weights, wrong: "
                         f"{', '.join(sorted(set(assigned) ^ names))}")


def quantize(float_network: FloatNetwork, train: Images, recipe: Recipe, *,
             test: Images | None = None, normalization: Normalization | None = None,
             state: Path | None = None, about: dict[str, Any] | None = None, run: Run = inline,
             progress: Progress = lambda what, share: None) -> Network:
    """Calibrates, selects where the scheme asks for it, and quantizes.

    Parameters
    ----------
    test : :class:`Images` or None
        Needed for :attr:`Recipe.paper_protocol` only.
    normalization : :class:`Normalization` or None
        Of pixels; the data set's own by default.
    state : path or None
        File in which an interrupted search keeps its steps.
    about : dict
        What else to note in the artefact.
    run : :class:`models.prefix.Run`
        Runs the evaluations of a selection; the result does not depend on it.
    progress : callable
        Told what is being done, and the share of it that is.

    Raises
    ------
    :exc:`ValueError`
        If the images do not fit the network, or as the parts that this calls.
    """
    topology = float_network.topology
    if train.shape != topology.input_shape:
        raise ValueError(f"{train.name}: images are {train.shape}, the network takes "
                         f"{topology.input_shape}")
    normalization = normalization or train.normalization
    calibrating, selecting = split(train, recipe)
    if recipe.rounding not in (*ROUNDINGS, CALIBRATED):
        raise ValueError(f"rounding must be one of {', '.join(ROUNDINGS)}, {CALIBRATED}, "
                         f"not {recipe.rounding!r}")
    single = "nearest" if recipe.rounding == CALIBRATED else recipe.rounding
    done = 0.0

    def batches() -> Iterator[torch.Tensor]:
        nonlocal done
        for x in _tensors(calibrating, normalization):
            yield x
            done += len(x) / (2 * len(calibrating))
            progress("calibrating", done)

    histograms = observe(float_network, batches)
    activations = calibrate(topology, histograms, method=recipe.calibration,
                            percentile=recipe.percentile)
    quantizer = Quantizer(topology, fold(float_network), activations, normalization.mean,
                          normalization.std, single, recipe.per_tensor)
    notes: dict[str, Any] = {**(about or {}), "recipe": json.loads(json.dumps(asdict(recipe))),
                             "data": train.name, "calibrated_on": len(calibrating),
                             "normalization": asdict(normalization)}
    if recipe.rounding == CALIBRATED:
        notes["rounded_on"] = affordable(topology, len(calibrating))

    def calibrated(assigned: dict[str, str], alternatives: tuple[str, ...] = ()) -> Quantizer:
        if recipe.rounding != CALIBRATED:
            return quantizer
        return reconstruct(float_network, quantizer, calibrating.pixels, notes["rounded_on"],
                           assigned, alternatives=alternatives,
                           progress=lambda share: progress("calibrated rounding", share))

    critical: tuple[str, ...] = ()
    if recipe.scheme == "doubleqext":
        if recipe.assigned is not None:
            _check_assigned(recipe.assigned, topology)
            critical = tuple(node.name for node in topology.convs
                             if recipe.assigned[node.name] == "int8")
        elif recipe.critical is not None:
            critical = _critical(recipe.critical, float_network)
        else:
            if recipe.paper_protocol:
                if test is None:
                    raise ValueError("the paper's protocol selects on test images, found none")
                selecting = test.take(0, recipe.selection_images)
            if recipe.selection == "sensitivity":
                return _by_sensitivity(float_network, calibrated, recipe, selecting, normalization,
                                       notes, run, progress)
            if recipe.selection != "greedy":
                raise ValueError(f"selection must be greedy or sensitivity, "
                                 f"not {recipe.selection!r}")
            candidates = calibrated(assign(topology, scheme="doubleqext", fmt=recipe.format),
                                    ("int8",))
            found = select.greedy(
                candidates, selecting.pixels[:], selecting.labels, mrt=recipe.mrt,
                fmt=recipe.format, state=state, batch=BATCH, run=run,
                progress=lambda step, share: progress(f"search, step {step}", share))
            critical = found.critical
            notes["search"] = {
                "on": "test images, as the paper" if recipe.paper_protocol else "training images",
                "images": found.images, "correct_quant8": found.correct_quant8,
                "evaluations": found.evaluations, "macs_reused": found.reused,
                "trace": [asdict(step) for step in found.trace]}
    elif recipe.critical or recipe.assigned:
        raise ValueError(f"critical layers belong to scheme doubleqext, not {recipe.scheme}")
    notes["critical"] = list(critical)
    assigned = dict(recipe.assigned or {}) or assign(
        topology, scheme=recipe.scheme, fmt=recipe.format, critical=critical)
    return calibrated(assigned).network(assigned, scheme=recipe.scheme, about=notes)


def _by_sensitivity(float_network: FloatNetwork, calibrated: Callable[..., Quantizer],
                    recipe: Recipe, selecting: Images, normalization: Normalization,
                    notes: dict[str, Any], run: Run, progress: Progress) -> Network:
    """The network whose formats :func:`models.allocate.sensitivity_curve` chooses."""
    topology = float_network.topology
    choices = recipe.formats or (recipe.format, "int8")
    with torch.inference_mode():
        reference = torch.cat([float_network(x) for x in _tensors(selecting, normalization)])
    evaluator = PrefixEvaluator(selecting.pixels[:], selecting.labels, reference=reference,
                                batch=BATCH, run=run)
    budget = None if recipe.budget_kb is None else 1000 * recipe.budget_kb
    curve = sensitivity_curve(
        calibrated(assign(topology, scheme="quant8"), choices), evaluator, choices, budget=budget,
        progress=lambda share: progress("sensitivity", share))
    chosen = curve.within(budget=budget, loss=recipe.max_loss)
    notes["critical"] = [node.name for node in topology.convs
                         if chosen.formats[node.name] == "int8"]
    notes["search"] = {
        "on": "training images", "images": curve.images, "correct_quant8": curve.correct_quant8,
        "evaluations": curve.evaluations, "macs_reused": curve.reused,
        "losses": [[*key, loss] for key, loss in curve.losses.items()],
        "trace": [asdict(point) for point in curve.points]}
    return calibrated(chosen.formats).network(chosen.formats, scheme=recipe.scheme, about=notes)


def load_checkpoint(path: Path, model: str, images: Images, **options: Any) -> FloatNetwork:
    """The float network of a checkpoint, for images like these.

    Parameters
    ----------
    options
        As :func:`models.checkpoints.load_model` takes them; None is the model's default, or the
        number of classes of the images.

    Raises
    ------
    :exc:`ValueError`
        As :func:`models.checkpoints.load_model`.
    """
    if model != "mnist":
        options["classes"] = options.get("classes") or images.classes
    given = {key: value for key, value in options.items() if value is not None}
    return checkpoints.load_model(path, model, input_shape=images.shape, **given)


def save(result: Network, path: Path, *, float_network: FloatNetwork, sample: Images) -> None:
    """Writes the artefact, and beside its two files, for evaluation and co-simulation only, the
    float network and the first images of ``sample``."""
    buffer = io.BytesIO()
    part = sample.take(0, SAMPLE_IMAGES)
    np.savez(buffer, allow_pickle=False, pixels=part.pixels[:], labels=part.labels)
    result.save(path, extra={
        FLOAT_FILE: checkpoints.serialize(float_network),
        SAMPLE_FILE: buffer.getvalue()})


def load_float(path: Path, topology: network.Topology) -> FloatNetwork | None:
    """The float network that :func:`save` put beside an artefact; None if it is not there."""
    file = path / FLOAT_FILE
    return checkpoints.load(file, topology) if file.exists() else None


def load_sample(path: Path, topology: network.Topology) -> np.ndarray:
    """Pixels of the images that :func:`save` put beside an artefact, uint8 [N, C, H, W].

    Raises
    ------
    :exc:`ValueError`
        If they are missing or damaged.
    """
    file = path / SAMPLE_FILE
    try:
        with np.load(file, allow_pickle=False) as arrays:
            pixels = arrays["pixels"]
    except FileNotFoundError:
        raise ValueError(f"{file}: not found; name images with --data instead") from None
    except Exception as error:  # a damaged archive can raise anything
        raise ValueError(f"{file}: damaged ({error})") from None
    if pixels.dtype != np.uint8 or pixels.shape[1:] != topology.input_shape:
        raise ValueError(f"{file}: expected uint8 images of {topology.input_shape}, found "
                         f"{pixels.dtype} {pixels.shape[1:]}")
    return pixels


def compare(result: Network, float_network: FloatNetwork | None, images: Images, *,
            progress: Progress = lambda what, share: None) -> dict[str, Accuracy]:
    """Accuracy of the float, fake-quantized and integer networks on the same images, the others
    also compared with the float one; without it of the integer network alone.

    ``affine`` is the paper's affine form of the weights (equations 1 to 3), per tensor,
    fake-quantized.

    Raises
    ------
    :exc:`ValueError`
        If the images do not fit the network.
    """
    topology = result.topology
    if images.shape != topology.input_shape or images.classes > topology.classes:
        raise ValueError(f"{images.name}: {images.classes} classes of images {images.shape}, the "
                         f"network has {topology.classes} for {topology.input_shape}")
    kept: list[torch.Tensor] = []

    def keeping(pixels: np.ndarray) -> torch.Tensor:
        assert float_network is not None
        kept.append(float_network(normalized(pixels, mean, std)))
        return kept[-1]

    golden = GoldenNetwork(result)
    networks: dict[str, Callable[[np.ndarray], torch.Tensor]] = {}
    if float_network is not None:
        mean, std = (tuple(result.about["normalization"][key]) for key in ("mean", "std"))
        fake = FakeQuantized(result)
        rounding = result.about["recipe"]["rounding"]
        affine = FakeQuantized(result, fold(float_network), affine_rounding="nearest"
                               if rounding == CALIBRATED else rounding)
        networks["float"] = keeping
        networks["fake-quantized"] = lambda pixels: fake(normalized(pixels, mean, std))
        networks["affine"] = lambda pixels: affine(normalized(pixels, mean, std))
    networks["integer"] = lambda pixels: torch.from_numpy(golden.logits(pixels))
    found: dict[str, Accuracy] = {}
    reference = None
    for name, logits in networks.items():
        done = 0

        def report(count: int, name: str = name) -> None:
            nonlocal done
            done += count
            progress(f"evaluating {name}", done / len(images))

        found[name] = evaluate(
            logits, images.pixels, images.labels, batch=BATCH, reference=reference,
            scale=result.logit_scale if name == "integer" else 1.0, progress=report)
        if name == "float":
            reference = torch.cat(kept)
    return found


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
