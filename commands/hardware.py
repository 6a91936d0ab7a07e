"""Commands on hardware: generate array, cosim, synth, vivado."""

from pathlib import Path
from typing import Annotated

import typer

from commands.options import Json, Net, Rtl, Scheme, Seed, Target, application, read_images
from console import Output

app = application()
generate = application("Generate Verilog: a MAC array, or a whole network.")
app.add_typer(generate, name="generate")


@generate.command("array")
def generate_array(
        output: Target,
        scheme: Scheme = "doubleq",
        pes: Annotated[int | None, typer.Option(help="PEs: slices times lanes.")] = None,
        slices: Annotated[int | None, typer.Option(help="Outputs at a time, 1 to 128.")] = None,
        layout: Annotated[str | None, typer.Option(
            help="paper-9, paper-512 or paper-1024 instead of --pes.")] = None,
        fit: Annotated[str | None, typer.Option(
            help="Instead of --pes: the most throughput within a share of a device, as "
            "xc7a100t:50%.")] = None,
        structure: Annotated[str | None, typer.Option(
            help="Structure of the dot product: paper, or what --fit chooses.")] = None,
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

    --fit chooses structure, tree, target, slices and lanes. Where the scheme has 8-bit weights and
    powers of two, MACs count as they are mixed in --network, or else as the weights are in the
    paper's DoubleQExt.

    JSON keys: schema, kind, generator, top, verilog, verilog_sha256, artefact, parameters,
    latency, interval, activations, encodings, ports, tools (the sidecar's, which gen/export.py
    describes), fit (Choice in gen/fit.py; null without --fit), output.

    Example: doubleq generate array --scheme doubleq --pes 16 -o rtl_out/doubleq_16
    """
    from dataclasses import asdict

    from benchmarks.published import INT8_SHARE
    from gen.estimate import load
    from gen.export import required_accumulator_bits, write_array
    from gen.fit import choose, parse_budget
    from gen.parameters import LAYOUTS, ArrayParameters, from_pes
    from models import network as artefact
    out = Output(json)
    if [pes, layout, fit].count(None) != 2:
        raise ValueError("an array takes one of --pes, --layout and --fit")
    if fit is not None and (slices, tree, target, dsp, pipeline) != (
            None, "binary", "portable", False, 1):
        raise ValueError("--fit chooses slices, tree, target, DSPs and pipeline itself")
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(LAYOUTS)}, not {layout!r}")
    if layout is not None and slices is not None:
        raise ValueError("--layout already says the slices")
    sized = artefact.load(network) if network else None
    needed = max(required_accumulator_bits(sized), 16) if sized else None
    if needed and accumulator_bits and accumulator_bits < needed:
        raise ValueError(f"accumulator width must be at least {needed} bits for {network}, "
                         f"not {accumulator_bits}")
    bits = accumulator_bits or needed or 32
    chosen = None
    if fit is None:
        rows, lanes = LAYOUTS[layout] if layout else from_pes(pes or 0, slices=slices)
        parameters = ArrayParameters(
            scheme=scheme, slices=rows, lanes=lanes, structure=structure or "paper", tree=tree,
            target=target, dsp=dsp, pipeline=pipeline, accumulator_bits=bits)
    else:
        chosen = choose(load(), scheme, parse_budget(fit), structure=structure,
                        int8_share=sized.int8_share if sized else INT8_SHARE,
                        accumulator_bits=bits)
        parameters = chosen.parameters
    with out.progress() as progress:
        progress(f"generating {parameters.pes} PEs", 0.0)
        sidecar = write_array(parameters, output, artefact_hash=sized.hash if sized else None)
    out.say(f"{output / sidecar['verilog']}: {parameters.pes} PEs ({parameters.slices} slices of "
            f"{parameters.lanes}), latency {sidecar['latency']} cycles, "
            f"{parameters.accumulator_bits}-bit accumulators")
    if chosen:
        out.table(f"{parameters.structure} for {fit}, predicted",
                  ["resource", "array", "budget", "model off by up to, %"],
                  [(kind.upper(), round(chosen.predicted[kind]), int(chosen.budget[kind]),
                    100 * chosen.error[kind]) for kind in chosen.budget])
        mhz = 1000 / chosen.predicted["delay_ns"]
        out.say(f"{chosen.gmacs:.1f} GMAC/s at an estimated {mhz:.0f} MHz (off by up to "
                f"{100 * chosen.error['delay_ns']:.1f} %); what binds: {', '.join(chosen.binds)}")
    out.result({**sidecar, "fit": chosen and asdict(chosen), "output": str(output)})


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
          netlist: Annotated[bool, typer.Option(
              "--netlist", help="Take the netlist of synth --netlist, not the Verilog.")] = False,
          json: Json = False) -> None:
    """Co-simulate: real layers on an array, or images on a whole network, against the golden model.

    Of an array every accumulator (the sum of q·w, without bias) and the cycle in which it appears
    must be as predicted; of a whole network every logit and the cycles of each image, and with
    --all every activation of every layer. The exit code is 1 otherwise.

    JSON keys: artefact, top, verilog, simulator, layers, vectors, cycles, macs, accumulators,
    mismatches, reported, utilization, seconds. Of a whole network: artefact, top, simulator,
    images, logits, classes, correct (images of --data that the hardware classifies right, else
    null), image_cycles, intervals, predicted_cycles, cycles, layers, mismatches, reported, seconds,
    cycles_per_second.

    Example: doubleq cosim nets/digits rtl_out/doubleq_16 --layer 1
    """
    from models import network, pipeline
    from rtl import read_rtl
    from sim.cosim import cosimulate
    out = Output(json)
    if all and layer is not None:
        raise ValueError("give either --layer or --all")
    whole = read_rtl(rtl).sidecar["kind"] == "core"
    if whole and (layer is not None or outputs is not None or gaps or netlist):
        raise ValueError("--layer, --outputs, --gaps and --netlist are for arrays, "
                         f"{rtl} is a whole network")
    if images < 1:
        raise ValueError(f"--images must be at least 1, not {images}")
    if not 0 <= gaps < 1:
        raise ValueError(f"--gaps must be at least 0 and below 1, not {gaps}")
    artefact = network.load(net)
    labels = None
    if data is None:
        pixels = pipeline.load_sample(net, artefact.topology)[:images]
    else:
        given = read_images(data, "test", images)
        pixels, labels = given.pixels[:], given.labels
    if whole:
        from commands.cores import cosimulate as cosimulate_core
        result = cosimulate_core(out, net, rtl, pixels, labels, layers=all, simulator=simulator,
                                 wave=wave, corrupt=corrupt)
        out.result(result)
        if result["mismatches"]:
            raise typer.Exit(1)
        return
    with out.progress() as progress:
        progress("compiling", 0.0)
        result = cosimulate(
            artefact, rtl, pixels, layer=layer, outputs=outputs, simulator=simulator, gaps=gaps,
            seed=seed, wave=wave, corrupt=corrupt, netlist=netlist,
            progress=lambda done, total: progress("simulating", done / total))
    out.table(f"{net} on {result['verilog']} in {simulator}",
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
          netlist: Annotated[bool, typer.Option(
              "--netlist", help="Also write the mapped netlist, for cosim --netlist.")] = False,
          route: Annotated[str | None, typer.Option(
              help="Also place and route on this family: ecp5.")] = None,
          json: Json = False) -> None:
    """Synthesize with yosys, set the area beside the paper's, and estimate the delay.

    JSON keys: schema, top, device, part, flatten, parameters, total, per_pe, percent, cells,
    timing, yosys, script, verilog_sha256, netlist_sha256, seconds, peak_memory_mb
    (gen/synth.py describes them), route (gen/route.py describes it; null without --route), paper,
    note.

    Example: doubleq synth rtl_out/doubleq_16 --device xc7a100t
    """
    from benchmarks.published import NOTE, compare
    from gen.route import route as place
    from gen.synth import synthesize
    from gen.timing import condense
    out = Output(json)
    with out.progress() as progress:
        progress("yosys", 0.0)
        # First, as it refuses what is too large before the longer synthesis.
        routed = place(rtl, route, progress=lambda step: progress(f"route: {step}", 0.0)
                       ) if route else None
        result = synthesize(rtl, device, flatten=flatten, netlist=netlist,
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
    timing = result["timing"]
    paths = {kind: path for kind, path in timing["paths"].items() if path}
    out.table(f"delay on {device}, estimated",
              ["slowest path from", "ns", "MHz", "levels", "start", "end"],
              [(kind, path["delay_ns"], 1000 / path["delay_ns"], path["levels"], path["start"],
                path["end"]) for kind, path in paths.items()])
    for kind, path in paths.items():
        out.say(f"{kind}: {condense(path)}")
    if paths:
        slow, fast = timing["fmax_estimate_range_mhz"]
        out.say(f"estimated Fmax {timing['fmax_estimate_mhz']} MHz ({slow} to {fast}). "
                f"{timing['note']}")
    if routed:
        out.say(f"routed on an {routed['part']} (speed grade {routed['speed_grade']}): "
                f"{routed['fmax_mhz']} MHz, {routed['total']['lut4']:,} LUT4, "
                f"{routed['total']['ff']:,} FF, {routed['total']['dsp']:,} DSP")
    out.result({**result, "route": routed, "paper": rows, "note": NOTE})


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
