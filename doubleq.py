"""The command line: trained ResNets to quantized networks, Verilog, proofs and figures."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console import Output

if TYPE_CHECKING:
    from models.data import Images

# What typer makes of Ctrl-C.
INTERRUPTED = 130

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None,
                  pretty_exceptions_enable=False, help=__doc__)
generate_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None,
                           help="Generate Verilog: a MAC array.")
bench_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Measure.")
app.add_typer(generate_app, name="generate")
app.add_typer(bench_app, name="bench")

Json = Annotated[bool, typer.Option(
    "--json", help="One JSON object on standard output, all else on standard error.")]
Data = Annotated[str, typer.Option(
    help="'digits' (ships with scikit-learn), or a folder of CIFAR-10, MNIST or pictures.")]
Net = Annotated[Path, typer.Argument(help="Artefact of 'doubleq quantize'.")]
Rtl = Annotated[Path, typer.Argument(help="Folder of 'doubleq generate'.")]
Model = Annotated[str, typer.Option(help="Name of the model: 'doubleq info' lists them.")]
Scheme = Annotated[str, typer.Option(help="quant8, doubleq or doubleqext.")]
PerChannel = Annotated[str | None, typer.Option(help="Of pixels / 255, a number a channel.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Target = Annotated[Path, typer.Option("-o", "--output", help="Where the result goes.")]


def _images(data: str, split: str, limit: int | None, image_size: int | None = None) -> "Images":
    from models import data as datasets
    return datasets.load(data, split, limit=limit, image_size=image_size)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas, not {text!r}") from None


@app.command()
def demo(output: Target = Path("rtl_out/demo"),
         report: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("report.html"),
         pes: Annotated[int, typer.Option(help="PEs of each array.")] = 64,
         json: Json = False) -> None:
    """The main job on the shipped network, from float to figures, in a few minutes.

    Quantizes resnet8 on the digits with the three schemes, generates an array for each,
    co-simulates a real layer on it, synthesizes it, and writes a report with plots.

    JSON keys: networks, arrays, weights, report.

    Example: doubleq demo --pes 16
    """
    from demo import run
    out = Output(json)
    out.result(run(output, report, pes=pes, out=out))


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
        checkpoint: Annotated[Path, typer.Argument(help="Float network, PyTorch or safetensors.")],
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
        calibration_images: Annotated[int, typer.Option(help="First training images.")] = 1500,
        selection_images: Annotated[int, typer.Option(help="Last training images.")] = 500,
        width: Annotated[int | None, typer.Option(help="Channels of the first stage.")] = None,
        classes: Annotated[int | None, typer.Option(help="Classes.")] = None,
        image_size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
        shortcut: Annotated[str | None, typer.Option(help="conv or zero.")] = None,
        mean: PerChannel = None,
        std: PerChannel = None,
        json: Json = False) -> None:
    """Quantize a float network into an artefact: integers, and how they were made.

    The first training images calibrate and the last select; test images do neither, unless
    --paper-protocol asks for it. An interrupted search goes on where it stopped.

    JSON keys: artefact, model, scheme, formats, critical, conv_bytes, full_bytes,
    accumulator_bits, selection_accuracy, search, output.

    Example: doubleq quantize models/resnet8_digits.safetensors --scheme doubleq -o nets/digits
    """
    from models import checkpoints, pipeline
    from models.data import Normalization
    out = Output(json)
    images = _images(data, "train", None, image_size)
    options = {key: value for key, value in {
        "width": width, "shortcut": shortcut,
        "classes": classes or (images.classes if model != "mnist" else None),
        "input_shape": images.shape}.items() if value is not None}
    network = checkpoints.load_model(checkpoint, model, **options)
    recipe = pipeline.Recipe(
        scheme=scheme, format=format, rounding=rounding, calibration=calibration,
        percentile=percentile, per_tensor=per_tensor, selection=selection, mrt=mrt,
        formats=None if formats is None else tuple(filter(None, formats.split(","))),
        budget_kb=budget_kb, max_loss=max_loss,
        critical=None if critical is None else tuple(filter(None, critical.split(","))),
        calibration_images=calibration_images, selection_images=selection_images,
        paper_protocol=paper_protocol)
    usual = images.normalization
    normalization = Normalization(_numbers("--mean", mean) or usual.mean,
                                  _numbers("--std", std) or usual.std)
    test = _images(data, "test", None, image_size)
    state = output.with_name(f"{output.name}.search.json")
    with out.progress() as progress:
        result = pipeline.quantize(
            network, images, recipe, test=test, normalization=normalization, state=state,
            about={"checkpoint": checkpoint.name, "checkpoint_sha256": pipeline.digest(checkpoint)},
            progress=progress)
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
    out.result({
        "artefact": result.hash, "model": model, "scheme": scheme, "formats": result.formats,
        "critical": result.about["critical"], "conv_bytes": result.conv_bytes,
        "full_bytes": result.full_bytes,
        "accumulator_bits": max(result.layers[n.name].accumulator_bits()
                                for n in result.topology.weighted),
        "selection_accuracy": accuracy.percent[0], "search": result.about.get("search"),
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
             json: Json = False) -> None:
    """Top-1 and top-5 accuracy of the float, fake-quantized and integer networks.

    Beside them, how far each is from the float network: mean divergence of the class probabilities
    in nats, and the share of the images on which both have the same first class. With --against,
    the paired difference of the integer networks, in points, and its standard error.

    "affine" is the paper's affine form of the weights (its equations 1 to 3), fake-quantized;
    hardware takes the symmetric ones only.

    JSON keys: artefact, data, split, images, networks, against, conv_bytes.

    Example: doubleq evaluate nets/digits --data digits --images 100
    """
    from models import network, pipeline
    out = Output(json)
    result = network.load(net)
    part = _images(data, split, images, result.topology.input_shape[1]
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
                "against": paired,
                "conv_bytes": result.conv_bytes})


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
    from gen.published import COMPRESSION
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


@generate_app.command("array")
def generate_array(
        output: Target,
        scheme: Scheme = "doubleq",
        pes: Annotated[int | None, typer.Option(help="PEs: slices times lanes.")] = None,
        slices: Annotated[int | None, typer.Option(help="Outputs at a time, 1 to 128.")] = None,
        layout: Annotated[str | None, typer.Option(
            help="paper-9, paper-512 or paper-1024 instead of --pes.")] = None,
        structure: Annotated[str, typer.Option(help="Structure of the dot product.")] = "paper",
        tree: Annotated[str, typer.Option(help="Adder tree.")] = "binary",
        target: Annotated[str, typer.Option(help="portable or xc7.")] = "portable",
        dsp: Annotated[bool, typer.Option("--dsp", help="Multipliers may use DSPs.")] = False,
        pipeline: Annotated[int, typer.Option(help="Adder levels a register, 0 for none.")] = 1,
        accumulator_bits: Annotated[int | None, typer.Option(
            help="Accumulator width; 32, or what --network needs.")] = None,
        network: Annotated[Path | None, typer.Option(
            help="Artefact that the accumulators are sized for.")] = None,
        json: Json = False) -> None:
    """Generate a MAC array: slices of PEs with adder tree and accumulator.

    JSON keys: schema, kind, generator, top, verilog, verilog_sha256, artefact, parameters,
    latency, interval, encodings, ports, tools (the sidecar's, which gen/export.py describes),
    output.

    Example: doubleq generate array --scheme doubleq --pes 16 -o rtl_out/doubleq_16
    """
    from gen.export import required_accumulator_bits, write_array
    from gen.parameters import LAYOUTS, ArrayParameters, from_pes
    from models import network as artefact
    out = Output(json)
    if (pes is None) == (layout is None):
        raise ValueError("an array takes either --pes or --layout")
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if layout is not None and slices is not None:
        raise ValueError("--layout already says the slices")
    rows, lanes = LAYOUTS[layout] if layout else from_pes(pes or 0, slices=slices)
    sized = artefact.load(network) if network else None
    needed = max(required_accumulator_bits(sized), 16) if sized else None
    if needed and accumulator_bits and accumulator_bits < needed:
        raise ValueError(f"accumulator width must be at least {needed} bits for {network}, "
                         f"not {accumulator_bits}")
    parameters = ArrayParameters(
        scheme=scheme, slices=rows, lanes=lanes, structure=structure, tree=tree, target=target,
        dsp=dsp, pipeline=pipeline, accumulator_bits=accumulator_bits or needed or 32)
    with out.progress() as progress:
        progress(f"generating {parameters.pes} PEs", 0.0)
        sidecar = write_array(parameters, output, artefact_hash=sized.hash if sized else None)
    out.say(f"{output / sidecar['verilog']}: {parameters.pes} PEs ({rows} slices of {lanes}), "
            f"latency {sidecar['latency']} cycles, {parameters.accumulator_bits}-bit accumulators")
    out.result({**sidecar, "output": str(output)})


@app.command()
def cosim(net: Net, rtl: Rtl,
          layer: Annotated[str | None, typer.Option(help="Name or number of a layer.")] = None,
          all: Annotated[bool, typer.Option("--all", help="All layers (the default).")] = False,
          simulator: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
          data: Annotated[str | None, typer.Option(
              help="Images to take; those kept in the artefact by default.")] = None,
          images: Annotated[int, typer.Option(help="How many of them.")] = 1,
          outputs: Annotated[int | None, typer.Option(
              help="At most so many output pixels a layer, evenly spread.")] = None,
          gaps: Annotated[float, typer.Option(help="Share of cycles without a vector.")] = 0.0,
          seed: Seed = 0,
          wave: Annotated[Path | None, typer.Option(help="Write an FST waveform here.")] = None,
          corrupt: Annotated[int | None, typer.Option(
              help="Add one to the golden value with this index, to see it noticed.")] = None,
          json: Json = False) -> None:
    """Co-simulate: stream real layers through the Verilog and compare with the golden model.

    Every accumulator (the sum of q·w, without bias) and the cycle in which it appears must be as
    predicted; the exit code is 1 otherwise.

    JSON keys: artefact, top, simulator, layers, vectors, cycles, macs, accumulators, mismatches,
    reported, utilization, seconds.

    Example: doubleq cosim nets/digits rtl_out/doubleq_16 --layer 1
    """
    from models import network, pipeline
    from sim.cosim import cosimulate
    out = Output(json)
    if all and layer is not None:
        raise ValueError("give either --layer or --all")
    if images < 1:
        raise ValueError(f"--images must be at least 1, not {images}")
    if not 0 <= gaps < 1:
        raise ValueError(f"--gaps must be at least 0 and below 1, not {gaps}")
    artefact = network.load(net)
    if data is None:
        pixels = pipeline.load_sample(net, artefact.topology)[:images]
    else:
        pixels = _images(data, "test", images).pixels[:]
    with out.progress() as progress:
        progress("compiling", 0.0)
        result = cosimulate(
            artefact, rtl, pixels, layer=layer, outputs=outputs, simulator=simulator, gaps=gaps,
            seed=seed, wave=wave, corrupt=corrupt,
            progress=lambda done, total: progress("simulating", done / total))
    out.table(f"{net} on {result['top']} in {simulator}",
              ["layer", "format", "vectors", "cycles", "MACs", "accumulators"],
              [[e[key] for key in ("layer", "format", "vectors", "cycles", "macs", "accumulators")]
               for e in (*result["layers"], {**result, "layer": "total", "format": ""})])
    for entry in result["reported"]:
        out.say("mismatch: " + ", ".join(f"{key} {value}" for key, value in entry.items()))
    out.say(f"{result['mismatches']} mismatches in {result['accumulators']:,} accumulators, "
            f"values and cycles; {100 * result['utilization']:.1f} % of PE cycles did MACs")
    out.result(result)
    if result["mismatches"]:
        raise typer.Exit(1)


@app.command()
def synth(rtl: Rtl,
          device: Annotated[str, typer.Option(help="xc7a100t or xczu9eg.")] = "xc7a100t",
          flatten: Annotated[bool, typer.Option(
              help="Synthesize as one piece; --no-flatten each module once, faster.")] = True,
          json: Json = False) -> None:
    """Synthesize with yosys, and set the area beside the paper's.

    JSON keys: schema, top, device, part, flatten, parameters, total, per_pe, percent, cells,
    yosys, script, verilog_sha256, seconds, peak_memory_mb (gen/synth.py describes them), paper,
    note.

    Example: doubleq synth rtl_out/doubleq_16 --device xc7a100t
    """
    from gen.published import NOTE, compare
    from gen.synth import synthesize
    out = Output(json)
    with out.progress() as progress:
        progress("yosys", 0.0)
        result = synthesize(rtl, device, flatten=flatten,
                            progress=lambda step: progress(f"yosys: {step}", 0.0))
    rows = compare(result)
    out.table(f"{rtl} on {device}", ["resource", "total", "per PE", "% of device"],
              [(kind.upper(), result["total"][kind], result["per_pe"][kind],
                result["percent"].get(kind)) for kind in result["total"]])
    out.table("beside the paper's array of as many PEs",
              ["", "ours", "paper", "ours a PE", "paper a PE", "ours / paper"],
              [(r["figure"], r["ours"], r["paper"], r["ours_per_pe"], r["paper_per_pe"],
                r["ratio"]) for r in rows])
    out.say(NOTE)
    out.result({**result, "paper": rows, "note": NOTE})


@app.command()
def vivado(rtl: Rtl, output: Target,
           board: Annotated[str, typer.Option(help="nexys4ddr, arty_a7_100 or zcu102.")],
           clock: Annotated[float | None, typer.Option(help="Clock in MHz.")] = None,
           json: Json = False) -> None:
    """Write a complete Vivado project folder that needs no edit.

    JSON keys: top, board, part, mode, clock_mhz, files, command, output.

    Example: doubleq vivado rtl_out/doubleq_16 --board nexys4ddr -o vivado/doubleq_16
    """
    from gen.vivado import write_project
    out = Output(json)
    options = {} if clock is None else {"clock": clock}
    result = write_project(rtl, board, output, **options)
    out.say(f"{output}: run 'vivado -mode batch -source build.tcl' there")
    out.result({**result, "output": str(output)})


@bench_app.command("golden")
def bench_golden(model: Model = "resnet20", scheme: Scheme = "quant8",
                 images: Annotated[int, typer.Option(help="Images a run.")] = 1000,
                 repeats: Annotated[int, typer.Option(help="Runs; medians count.")] = 3,
                 seed: Seed = 0,
                 output: Annotated[Path | None, typer.Option("-o", help="JSON file.")] = None,
                 json: Json = False) -> None:
    """Time the golden model against the float network on the same images.

    JSON keys: model, scheme, images, repeats, threads, float_seconds, golden_seconds, ratio.

    Example: doubleq bench golden --model resnet8 --images 200
    """
    import files
    from models.bench import bench_golden as run
    out = Output(json)
    with out.progress() as progress:
        result = run(model=model, scheme=scheme, images=images, repeats=repeats, seed=seed,
                     progress=lambda share: progress("timing", share))
    if output is not None:
        files.write_json(output, result)
    out.table(f"{model}, {scheme}, {images} images, medians of {repeats} runs",
              ["network", "seconds", "times float"],
              [("float", result["float_seconds"], 1.0),
               ("golden", result["golden_seconds"], result["ratio"])])
    out.result(result)


@app.command()
def info(path: Annotated[Path | None, typer.Argument(
        help="Artefact or generated Verilog to describe.")] = None, json: Json = False) -> None:
    """What is installed and known; or what an artefact or generated Verilog is.

    JSON keys: versions, simulators, models, formats, schemes, structures, devices, boards. Of an
    artefact: artefact, model, scheme, formats, conv_bytes, full_bytes, about. Of generated Verilog
    those of its sidecar.

    Example: doubleq info
    """
    from inventory import describe, installed
    out = Output(json)
    result = installed() if path is None else describe(path)
    for key, value in result.items():
        out.say(f"{key}: {value}")
    out.result(result)


def main(arguments: list[str] | None = None) -> None:
    """Runs a command; bad input is one line on standard error and exit code 2."""
    try:
        # Commands return nothing: what comes back is the code of typer.Exit.
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except typer.TyperException as error:
        code = _refuse(error.format_message())
    except (ValueError, OSError) as error:
        code = _refuse(str(error))
    except KeyboardInterrupt:
        code = _refuse("interrupted; nothing half-written is left")
    sys.exit(code or 0)


def _refuse(message: str) -> int:
    first = " ".join(message.split())
    print(f"doubleq: {first}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
