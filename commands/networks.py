"""Commands on networks: train, quantize, evaluate, export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.options import (
    CalibrationImages,
    Checkpoint,
    Classes,
    Data,
    Executor,
    ImageSize,
    Json,
    Model,
    Net,
    PerChannel,
    Scheduler,
    Scheme,
    Seed,
    SelectionImages,
    Shortcut,
    Target,
    Width,
    Workers,
    application,
    numbers,
    read_images,
)
from console import Output

app = application()


@app.command()
def train(output: Target, model: Model = "resnet8", data: Data = "digits",
          epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 40,
          seed: Seed = 0, json: Json = False) -> None:
    """Train a float network on a CPU; its test images are held out.

    JSON keys: model, data, epochs, seed, parameters, loss, test_images, test_correct,
    test_accuracy, output.

    Example: doubleq train --model resnet8 --data digits --epochs 2 -o digits.safetensors
    """
    from models import checkpoints
    from models.train import train as run
    out = Output(json)
    with out.progress() as progress:
        network, history = run(
            model=model, dataset=data, epochs=epochs, seed=seed,
            progress=lambda epoch: progress("training", epoch.epoch / epochs))
    checkpoints.save(network, output)
    last = history[-1]
    result = {"model": model, "data": data, "epochs": epochs, "seed": seed,
              "parameters": sum(p.numel() for p in network.parameters()), "loss": last.loss,
              "test_images": last.test.images, "test_correct": last.test.top1,
              "test_accuracy": last.test.percent[0], "output": str(output)}
    out.say(f"{output}: {model}, {result['parameters']:,} parameters, "
            f"{last.test.top1} of {last.test.images} held-out images correct "
            f"({last.test.percent[0]:.2f} %)")
    out.result(result)


@app.command()
def quantize(
        checkpoint: Checkpoint,
        output: Target,
        scheme: Scheme,
        model: Model = "resnet8",
        data: Data = "digits",
        format: Annotated[str, typer.Option(help="Powers of two: pot5, pot4 or pot3.")] = "pot5",
        rounding: Annotated[str, typer.Option(help="log, nearest or calibrated.")] = "nearest",
        calibration: Annotated[str, typer.Option(help="max, percentile, entropy or mse.")] = "mse",
        percentile: Annotated[float, typer.Option(help="What it keeps, in %.")] = 99.99,
        per_tensor: Annotated[bool, typer.Option("--per-tensor", help="One weight scale a layer, "
                                                 "not one a channel.")] = False,
        selection: Annotated[str, typer.Option(
            help="doubleqext: greedy (Algorithm 1) or sensitivity.")] = "greedy",
        mrt: Annotated[float, typer.Option(help="greedy: minimum recovery, in %.")] = 80.0,
        formats: Annotated[str | None, typer.Option(
            help="sensitivity: formats to choose from, commas; --format and int8.")] = None,
        budget_kb: Annotated[float | None, typer.Option(
            help="sensitivity: memory of the convolutions, in kB.")] = None,
        max_loss: Annotated[float | None, typer.Option(
            help="sensitivity: loss against Quant8, in points.")] = None,
        critical: Annotated[str | None, typer.Option(
            help="doubleqext: int8 layers (names or numbers, commas) instead of a search.")] = None,
        paper_protocol: Annotated[bool, typer.Option(
            "--paper-protocol", help="doubleqext: select on test images, as the paper.")] = False,
        calibration_images: CalibrationImages = 1500,
        selection_images: SelectionImages = 500,
        width: Width = None,
        classes: Classes = None,
        image_size: ImageSize = None,
        shortcut: Shortcut = None,
        mean: PerChannel = None,
        std: PerChannel = None,
        executor: Executor = "inline",
        workers: Workers = None,
        scheduler: Scheduler = None,
        json: Json = False) -> None:
    """Quantize a float network into an artefact: integers, and how they were made.

    The first training images calibrate and the last select; test images do neither, unless
    --paper-protocol asks for it. An interrupted search goes on where it stopped. Its evaluations
    run where --executor says; the result is the same everywhere.

    JSON keys: artefact, model, scheme, formats, critical, conv_bytes, full_bytes,
    accumulator_bits, selection_accuracy, search, output.

    Example: doubleq quantize models/resnet8_digits.safetensors --scheme doubleq -o nets/digits
    """
    import jobs
    from models import pipeline
    from models.data import Normalization
    out = Output(json)
    images = read_images(data, "train", None, image_size)
    network = pipeline.load_checkpoint(checkpoint, model, images, width=width, classes=classes,
                                       shortcut=shortcut)
    recipe = pipeline.Recipe(
        scheme=scheme, format=format, rounding=rounding, calibration=calibration,
        percentile=percentile, per_tensor=per_tensor, selection=selection, mrt=mrt,
        formats=None if formats is None else tuple(filter(None, formats.split(","))),
        budget_kb=budget_kb, max_loss=max_loss,
        critical=None if critical is None else tuple(filter(None, critical.split(","))),
        calibration_images=calibration_images, selection_images=selection_images,
        paper_protocol=paper_protocol)
    usual = images.normalization
    normalization = Normalization(numbers("--mean", mean) or usual.mean,
                                  numbers("--std", std) or usual.std)
    test = read_images(data, "test", None, image_size)
    state = output.with_name(f"{output.name}.search.json")
    with (jobs.executor(executor, workers=workers, scheduler=scheduler) as chosen,
          out.progress() as progress):
        result = pipeline.quantize(
            network, images, recipe, test=test, normalization=normalization, state=state,
            about={"checkpoint": checkpoint.name, "checkpoint_sha256": pipeline.digest(checkpoint)},
            run=chosen.run, progress=progress)
        selecting = pipeline.split(images, recipe)[1]
        accuracy = pipeline.compare(result, None, selecting, progress=progress)["integer"]
    result.about["selection_accuracy"] = accuracy.percent[0]
    pipeline.save(result, output, float_network=network, sample=test)
    state.unlink(missing_ok=True)
    out.table(f"{output}: {model}, {scheme}", ["layer", "format", "bytes"], [
        (name, fmt, conv) for (name, fmt), conv in zip(
            ((n.name, result.formats[n.name]) for n in result.topology.convs),
            _conv_bytes(result), strict=True)])
    out.say(f"memory: {result.conv_bytes / 1000:.2f} kB of convolution weights, "
            f"{result.full_bytes / 1000:.2f} kB with all else; "
            f"{accuracy.percent[0]:.2f} % of {accuracy.images} selection images")
    search = result.about.get("search")
    if search is not None:
        out.say(f"search: {search['evaluations']} evaluations on {search['images']} "
                f"{search['on']}, {100 * search['macs_reused']:.1f} % of the multiply-accumulates "
                f"saved by reuse of unchanged layers")
    out.result({
        "artefact": result.hash, "model": model, "scheme": scheme, "formats": result.formats,
        "critical": result.about["critical"], "conv_bytes": result.conv_bytes,
        "full_bytes": result.full_bytes,
        "accumulator_bits": max(result.layers[n.name].accumulator_bits()
                                for n in result.topology.weighted),
        "selection_accuracy": accuracy.percent[0], "search": search,
        "output": str(output)})


def _conv_bytes(result: Any) -> list[float]:
    from models.network import conv_bytes
    return list(conv_bytes(result.topology, result.formats).values())


@app.command()
def evaluate(net: Net, data: Data = "digits",
             split: Annotated[str, typer.Option(help="train or test.")] = "test",
             images: Annotated[int | None, typer.Option(help="First images only.")] = None,
             against: Annotated[Path | None, typer.Option(
                 help="Another artefact to compare with on the same images.")] = None,
             layers: Annotated[bool, typer.Option(
                 "--layers", help="Compare fake-quantized and integer layers.")] = False,
             json: Json = False) -> None:
    """Top-1 and top-5 accuracy of the float, fake-quantized and integer networks.

    Beside them, how far each is from the float network: mean divergence of the class probabilities
    in nats, and the share of the images on which both have the same first class. With --against,
    the paired difference of the integer networks, in points, and its standard error.

    "affine" is the paper's affine form of the weights (its equations 1 to 3), fake-quantized;
    hardware takes the symmetric ones only.

    With --layers, for the input and every layer: how many of the codes that the fake-quantized
    and the integer one give are equal, and the largest difference in codes, when both read the
    integer network's activations and end to end; and the accuracy of the network that computes
    integers up to this layer and is fake-quantized after it.

    JSON keys: artefact, data, split, images, networks, against, layers, conv_bytes.

    Example: doubleq evaluate nets/digits --data digits --images 100
    """
    from models import network, pipeline
    out = Output(json)
    result = network.load(net)
    part = read_images(data, split, images, result.topology.input_shape[1]
                   if data != "digits" else None)
    with out.progress() as progress:
        found = pipeline.compare(result, pipeline.load_float(net, result.topology), part,
                                 progress=progress)
    out.table(f"{net} on {len(part)} {split} images of {part.name}",
              ["network", "correct", "top-1 %", "top-5 %", "KL, nats", "as float %"],
              [(name, a.top1, *a.percent,
                None if a.divergence is None else f"{a.divergence:.5f}", a.agreement)
               for name, a in found.items()])
    paired = None
    if against is not None:
        other = pipeline.compare(network.load(against), None, part)["integer"]
        points, error = found["integer"].paired(other)
        paired = {"artefact": str(against), "points": points, "standard_error": error,
                  "images": found["integer"].top1 - other.top1}
        out.say(f"against {against}: {points:+.2f} ± {error:.2f} points "
                f"({paired['images']:+d} images)")
    out.result({"artefact": result.hash, "data": part.name, "split": split, "images": len(part),
                "networks": {name: {"top1": a.percent[0], "top5": a.percent[1],
                                    "top1_correct": a.top1, "top5_correct": a.top5,
                                    "divergence": a.divergence, "agreement": a.agreement}
                             for name, a in found.items()},
                "against": paired, "layers": _compare_layers(result, part, out) if layers else None,
                "conv_bytes": result.conv_bytes})


def _compare_layers(result: Any, images: Any, out: Output) -> list[dict[str, Any]]:
    from models.layerwise import compare_layers
    normalization = result.about["normalization"]
    with out.progress() as progress:
        found = compare_layers(
            result, images.pixels, images.labels,
            mean=normalization["mean"], std=normalization["std"],
            progress=lambda share: progress("comparing layers", share))
    out.table("fake-quantized against integer",
              ["layer", "same input: equal %", "largest", "end to end: equal %", "largest",
               "integer up to here: top-1 %"],
              [(row.name, row.same_input.percent, row.same_input.largest, row.end_to_end.percent,
                row.end_to_end.largest, row.accuracy.percent[0]) for row in found])
    return [{"name": row.name,
             "same_input": {"equal": row.same_input.percent, "largest": row.same_input.largest},
             "end_to_end": {"equal": row.end_to_end.percent, "largest": row.end_to_end.largest},
             "top1": row.accuracy.percent[0], "top1_correct": row.accuracy.top1}
            for row in found]


@app.command()
def export(net: Net, output: Target,
           packing: Annotated[str, typer.Option(
               help="dense, or u16x3: pot5 codes three to a 16-bit word.")] = "dense",
           json: Json = False) -> None:
    """Write the packed weights for firmware (a C header) and block memories (.mem and .coe).

    The ratios are those of the convolutions, as the paper counts, and of all that a device stores.

    JSON keys: schema, artefact, packing, header, layers, totals (as models/export.py describes),
    paper, output.

    Example: doubleq export nets/digits -o weights/digits
    """
    from benchmarks.published import COMPRESSION
    from models import export as weights
    from models import network
    out = Output(json)
    result = weights.export(network.load(net), output, packing=packing)
    paper = dict(zip(weights.PACKINGS, COMPRESSION, strict=True))
    out.table(f"{output}: {packing}",
              ["layer", "format", "packing", "weights", "bytes", "float32 / ours"],
              [(layer["name"], layer["format"], layer["packing"], layer["weights"], layer["bytes"],
                4 * layer["weights"] / layer["bytes"]) for layer in result["layers"]])
    out.table("memory", ["", "bytes", "float32 / ours", "int8 / ours", "float32 / paper's DoubleQ"],
              [(name, total["bytes"], total["times_float32"], total["times_int8"],
                paper[packing] if key == "conv" else None)
               for key, name in [("conv", "convolution weights"), ("full", "with all else")]
               for total in [result["totals"][key]]])
    out.result({**result, "paper": paper, "output": str(output)})
