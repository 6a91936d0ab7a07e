"""Commands on cores, the accelerators of whole networks: generate network, run."""

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.hardware import generate
from commands.options import Json, Net, Rtl, Target, application
from console import Output

app = application()


@generate.command("network")
def generate_network(
        net: Net, output: Target,
        pes: Annotated[int | None, typer.Option(
            help="PEs: 16 lanes, channels and groups; 64 by default.")] = None,
        groups: Annotated[int | None, typer.Option(
            help="Pixels of a row computed at a time.")] = None,
        fit: Annotated[str | None, typer.Option(
            help="Instead of --pes: the most images a second within a share of a device, as "
            "xc7a100t:90%.")] = None,
        structure: Annotated[str | None, typer.Option(
            help="Structure of the dot product: merged or booth, or what --fit chooses.")] = None,
        tree: Annotated[str, typer.Option(help="Adder tree.")] = "ternary",
        target: Annotated[str, typer.Option(help="portable or xc7.")] = "portable",
        dsp: Annotated[bool, typer.Option("--dsp", help="Multipliers may use DSPs.")] = False,
        pipeline: Annotated[int, typer.Option(help="Adder levels a register, 0 for none.")] = 1,
        weights: Annotated[str, typer.Option(
            help="rom: fixed, or load: through a port, from weights.bin.")] = "rom",
        like: Annotated[Path | None, typer.Option(
            help="Instead of all knobs: a core with --weights load, whose hardware it shall "
            "be.")] = None,
        json: Json = False) -> None:
    """Generate the accelerator of a whole network: image in, logits out, weights inside.

    Beside the Verilog is a C header with sizes, ports, and the map of what is loaded.

    --fit chooses PEs, groups, structure, tree and target. Cycles are exact, block memories those
    that yosys gives memories of these sizes, the rest is predicted by a model of measured
    syntheses.

    JSON keys: schema, kind, generator, top, verilog, verilog_sha256, artefact, parameters,
    image_cycles, macs, memory, layers, load, ports, tools, files (the sidecar's, which
    gen/export_core.py describes), fit (CoreChoice in gen/core_fit.py; null without --fit), output.

    Example: doubleq generate network nets/digits --pes 16 -o rtl_out/digits_16
    """
    from dataclasses import asdict

    from gen import core_estimate, estimate
    from gen.core_fit import choose_core
    from gen.core_parameters import core_for
    from gen.export_core import write_core, write_weights
    from gen.fit import parse_budget
    from models import network
    from rtl import LOAD, read_rtl
    out = Output(json)
    chosen_by_fit = (pes, groups, tree, target, dsp, pipeline) != (
        None, None, "ternary", "portable", False, 1)
    if like and (chosen_by_fit or (fit, structure, weights) != (None, None, "rom")):
        raise ValueError("--like takes all knobs from the other core")
    if fit is not None and chosen_by_fit:
        raise ValueError("--fit chooses PEs, groups, tree, target, DSPs and pipeline itself")
    budget = None if fit is None else parse_budget(fit)
    artefact, chosen = network.load(net), None
    with out.progress() as progress:
        if like:
            progress(f"generating a core like {like}", 0.0)
            sidecar = write_weights(artefact, read_rtl(like), output)
        else:
            if budget:
                progress("choosing", 0.0)
                chosen = choose_core(core_estimate.load(), estimate.load(), artefact, budget,
                                     structure=structure, weights=weights)
            knobs = chosen.parameters if chosen else core_for(
                artefact, pes or 64, groups=groups, tree=tree, target=target, dsp=dsp,
                structure=structure or ("merged" if artefact.scheme == "doubleq" else "booth"),
                pipeline=pipeline, weights=weights)
            progress(f"generating {knobs.pes} PEs", 0.0)
            sidecar = write_core(artefact, knobs, output)
    parameters, load = sidecar["parameters"], sidecar["load"]
    count = parameters["pes"]
    cycles, memory = sidecar["image_cycles"], sidecar["memory"]
    busy = sum(layer["pe_cycles"] for layer in sidecar["layers"])
    out.table(f"{output / sidecar['verilog']}",
              ["layer", "kind", "format", "sets", "interval", "cycles", "PE cycles used, %"],
              [(layer["name"], layer["kind"], layer["format"], layer["sets"], layer["interval"],
                layer["cycles"], 100 * layer["pe_cycles"] / (layer["cycles"] * count))
               for layer in sidecar["layers"]])
    out.say(f"{count} PEs in {parameters['groups']} groups: {cycles:,} cycles an image, "
            f"{100 * busy / (cycles * count):.1f} % of PE cycles used; "
            f"{memory['weight_bits'] / 8000:.2f} kB of weights, "
            f"{memory['activation_bits'] / 8000:.2f} kB of activations")
    if load:
        out.say(f"{output / LOAD}: {load['words']:,} words to load")
    if chosen:
        shapes = {kind: ",g" if kind == "bram36" else ",.0f" for kind in chosen.budget}
        out.table(f"{chosen.parameters.array.structure} for {fit}, predicted",
                  ["resource", "core", "budget", "model off by up to, %"],
                  [(kind.upper(), f"{chosen.predicted[kind]:{shapes[kind]}}",
                    int(chosen.budget[kind]), 100 * chosen.error[kind])
                   for kind in chosen.budget])
        out.say(f"{chosen.images_per_second:,.0f} images/s at an estimated "
                f"{1000 / chosen.predicted['delay_ns']:.0f} MHz (off by up to "
                f"{100 * chosen.error['delay_ns']:.1f} %), {chosen.cycles:,} cycles an image; "
                f"what binds: {', '.join(chosen.binds)}")
    out.result({**sidecar, "fit": chosen and asdict(chosen), "output": str(output)})


def cosimulate(out: Output, net: Path, rtl: Path, pixels: Any, labels: Any = None, **options: Any
               ) -> dict[str, Any]:
    """Co-simulates a core for the command ``cosim``, and prints what came of it; of images with
    ``labels`` also how many the hardware classifies right, as ``correct``."""
    from models import network
    from sim.cosim_core import cosimulate_core
    with out.progress() as progress:
        progress("compiling", 0.0)
        result = cosimulate_core(
            network.load(net), rtl, pixels,
            progress=lambda done, total: progress("simulating", done / total), **options)
    if result["layers"] is not None:
        out.table(f"{net} on {result['top']}", ["layer", "activations", "mismatches", "cycles"],
                  [[entry[key] for key in ("layer", "activations", "mismatches", "cycles")]
                   for entry in result["layers"]])
    for entry in result["reported"]:
        out.say("mismatch: " + ", ".join(f"{key} {value}" for key, value in entry.items()))
    out.say(f"{result['mismatches']} mismatches in the logits of {result['images']} images, values "
            f"and cycles; {result['predicted_cycles']:,} cycles an image, "
            f"{result['cycles_per_second']:,.0f} cycles a second with compilation")
    correct = None
    if labels is not None:
        correct = sum(int(found == label) for found, label in
                      zip(result["classes"], labels, strict=True))
        out.say(f"{correct} of {result['images']} images classified right by the hardware")
    return {**result, "correct": correct}


@app.command()
def run(net: Net, rtl: Rtl,
        picture: Annotated[Path, typer.Argument(help="Image file.")],
        simulator: Annotated[str, typer.Option(help="verilator or icarus.")] = "verilator",
        json: Json = False) -> None:
    """Classify a picture in the simulated hardware, and say what it took.

    The picture is scaled to the network's size.

    JSON keys: class_, logits, cycles, seconds, top.

    Example: doubleq run nets/digits rtl_out/digits_16 digit.png
    """
    from models import network
    from models.pictures import read_picture
    out = Output(json)
    artefact = network.load(net)
    pixels = read_picture(picture, artefact.topology.input_shape)
    result = cosimulate(out, net, rtl, pixels[None], simulator=simulator)
    class_, logits = result["classes"][0], result["logits"][0]
    scale = artefact.logit_scale
    out.table(f"{picture} on {result['top']}", ["class", "logit", "real"],
              [(index, logit, logit * scale) for index, logit in sorted(
                  enumerate(logits), key=lambda item: -item[1])[:5]])
    out.say(f"class {class_}, {result['predicted_cycles']:,} cycles")
    out.result({"class_": class_, "logits": logits, "cycles": result["image_cycles"][0],
                "seconds": result["seconds"], "top": result["top"]})
    if result["mismatches"]:
        raise typer.Exit(1)
