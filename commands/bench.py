"""Commands that measure."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import (
    CalibrationImages,
    Checkpoint,
    Classes,
    Device,
    Executor,
    ImageSize,
    Json,
    Model,
    PerChannel,
    Scheduler,
    Scheme,
    Seed,
    SelectionImages,
    Shortcut,
    Structures,
    Target,
    Width,
    Workers,
    application,
    integers,
    numbers,
)
from console import Output

app = application("Measure.")


@app.command("golden")
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
    from benchmarks.golden import bench_golden as run
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
def accuracy(
        checkpoint: Checkpoint,
        output: Target,
        model: Model = "resnet8",
        data: Annotated[list[str] | None, typer.Option(
            help="'digits' (the default), or a folder of CIFAR-10, MNIST or pictures; again for "
            "further test images.")] = None,
        rows: Annotated[str, typer.Option(
            help="What is measured besides float and Quant8, commas: paper, nearest, greedy, "
            "greedy-on-test, calibrated, sensitivity.")] =
        "paper,nearest,greedy,greedy-on-test,calibrated,sensitivity",
        images: Annotated[int | None, typer.Option(help="First test images only.")] = None,
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
    """Measure accuracy against memory, as the paper's Tables 3 to 5 and 9, beside its figures.

    Writes accuracy.json, accuracy.md and plots. Every network is a job, and what is finished stays
    in the folder: an interrupted run goes on where it stopped, and the same command again repeats
    its figures.

    JSON keys: schema, model, checkpoint, checkpoint_sha256, calibration_images, selection_images,
    data, rows, searches, compression, ranges, files (benchmarks/accuracy.py describes them),
    output.

    Example: doubleq bench accuracy models/resnet8_digits.safetensors --rows paper,calibrated -o acc
    """
    import jobs
    from benchmarks.accuracy import bench_accuracy
    from benchmarks.rows import Setup
    from benchmarks.tables import tables
    out = Output(json)
    setup = Setup(
        checkpoint=str(checkpoint.absolute()), model=model,
        options=(("width", width), ("classes", classes), ("shortcut", shortcut)),
        data=tuple(source if source == "digits" else str(Path(source).absolute())
                   for source in data or ["digits"]),
        image_size=image_size, images=images, mean=numbers("--mean", mean),
        std=numbers("--std", std))
    with (jobs.executor(executor, workers=workers, scheduler=scheduler) as chosen,
          out.progress() as progress):
        result = bench_accuracy(
            setup, output, chosen, groups=tuple(filter(None, rows.split(","))),
            calibration_images=calibration_images, selection_images=selection_images,
            progress=progress)
    for table in tables(result):
        out.table(table.title, table.columns, table.rows)
    out.say(f"written to {output}: {', '.join(result['files'])}")
    out.result({**result, "output": str(output)})


@app.command()
def area(
        output: Target,
        pes: Annotated[str, typer.Option(
            help="Layouts, commas: numbers of PEs, or slices x lanes.")] = "9,64,2x32,512",
        structures: Structures = None,
        device: Device = "xc7a100t",
        model: Annotated[Path | None, typer.Option(
            help="Also fit the model behind 'generate array --fit', and write it here.")] = None,
        executor: Executor = "processes",
        workers: Workers = None,
        scheduler: Scheduler = None,
        json: Json = False) -> None:
    """Measure area and estimate throughput of every structure, beside the paper's figures.

    Writes area.json, area.md and plots. Every synthesis is a job, and what is finished stays in the
    folder as long as the Verilog stays the same.

    JSON keys: schema, device, yosys, rows, files (benchmarks/area.py describes them), output.

    Example: doubleq bench area --pes 9 --structures merged -o area
    """
    import jobs
    from benchmarks.area import bench_area, tables
    from gen.structures import STRUCTURES
    out = Output(json)
    with (jobs.executor(executor, workers=workers, scheduler=scheduler) as chosen,
          out.progress() as progress):
        result = bench_area(
            output, chosen, layouts=pes, device=device, model=model, progress=progress,
            structures=tuple(STRUCTURES) if structures is None else tuple(structures.split(",")))
    for table in tables(result):
        out.table(table.title, table.columns, table.rows)
    out.say(f"written to {output}: {', '.join(result['files'])}")
    out.result({**result, "output": str(output)})


@app.command("network")
def bench_network(
        nets: Annotated[list[Path], typer.Argument(help="Artefacts of 'doubleq quantize'.")],
        output: Target,
        pes: Annotated[str, typer.Option(help="PEs, commas.")] = "256,512,1024",
        structures: Structures = None,
        device: Device = "xc7a100t",
        clock: Annotated[float, typer.Option(help="MHz that images/s are given for.")] = 100.0,
        synth: Annotated[bool, typer.Option("--synth", help="Synthesize: minutes a core.")] = False,
        model: Annotated[Path | None, typer.Option(
            help="Also fit the model behind 'generate network --fit', and write it here; "
            "synthesizes these cores and one more of each network and structure.")] = None,
        executor: Executor = "processes",
        workers: Workers = None,
        scheduler: Scheduler = None,
        json: Json = False) -> None:
    """Measure whole networks on cores of every structure, beside published accelerators.

    Writes network.json, network.md and time charts. Every core is a job, and what is finished stays
    in the folder. Cycles and memory are exact, areas and clocks are those of syntheses.

    JSON keys: schema, device, clock_mhz, rows, peers, files (benchmarks/network.py describes them),
    output.

    Example: doubleq bench network nets/digits --pes 16,64 -o network
    """
    import jobs
    from benchmarks.network import bench_network as run
    from benchmarks.network import tables
    from gen.structures import STRUCTURES
    out = Output(json)
    with (jobs.executor(executor, workers=workers, scheduler=scheduler) as chosen,
          out.progress() as progress):
        result = run(
            nets, output, chosen, pes=integers("--pes", pes), device=device, clock_mhz=clock,
            synth=synth, model=model, progress=progress,
            structures=tuple(STRUCTURES) if structures is None else tuple(structures.split(",")))
    for table in tables(result):
        out.table(table.title, table.columns, table.rows)
    out.say(f"written to {output}: {', '.join(result['files'])}")
    out.result({**result, "output": str(output)})
