"""Commands that measure."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Json, Model, Scheme, Seed, application
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
