# amaranth: UnusedElaboratable=no
"""The demonstration: the whole way on what the project ships, for all three schemes."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import report
from benchmarks.area import row
from benchmarks.cores import describe
from benchmarks.published import AREA_PER_PE, NOTE
from benchmarks.synthesis import condensed
from console import Output
from gen.core import Core
from gen.core_parameters import core_for
from gen.estimate import forms
from gen.export import required_accumulator_bits, write_array
from gen.export_core import write_core
from gen.parameters import from_pes
from gen.synth import synthesize
from gen.timing import NOTE as TIMING_NOTE
from models import checkpoints, data, pipeline
from models.data import Images
from models.floatnet import FloatNetwork
from models.network import SCHEMES, Network
from models.quantize import fold
from sim.cosim import cosimulate
from sim.cosim_core import cosimulate_core

__all__ = ["classify", "run"]

CHECKPOINT = Path(__file__).resolve().parent / "models" / "resnet8_digits.safetensors"
MODEL = "resnet8"
LAYER = "layer2.0.conv1"
DEVICE = "xc7a100t"
# The reference, and a smaller one for each scheme.
STRUCTURES = {"quant8": ("paper", "booth"), "doubleq": ("paper", "merged"),
              "doubleqext": ("paper", "booth")}
CORE_SCHEME, CORE_STRUCTURE, CORE_PES, CORE_IMAGES = "doubleq", "merged", 64, 10


def _labelled(progress: pipeline.Progress, label: str, what: str, share: float) -> None:
    progress(f"{label}: {what}", share)


def _simulated(progress: pipeline.Progress, what: str, done: int, total: int) -> None:
    progress(what, done / total)


def _quantized(folder: Path, progress: pipeline.Progress
               ) -> tuple[FloatNetwork, dict[str, Network], list[dict[str, Any]]]:
    train, test = data.load(data.DIGITS, "train"), data.load(data.DIGITS, "test")
    float_network = checkpoints.load_model(CHECKPOINT, MODEL)
    networks, rows = {}, []
    for scheme in SCHEMES:
        recipe = pipeline.Recipe(scheme=scheme, rounding="log" if scheme != "quant8" else "nearest",
                                 per_tensor=scheme != "quant8", selection_images=300, mrt=100)
        network = pipeline.quantize(
            float_network, train, recipe, test=test, about={"checkpoint": CHECKPOINT.name},
            progress=partial(_labelled, progress, scheme))
        pipeline.save(network, folder / "nets" / scheme, float_network=float_network, sample=test)
        accuracy = pipeline.compare(network, float_network, test, progress=progress)
        networks[scheme] = network
        rows.append({"scheme": scheme, "artefact": network.hash,
                     "conv_bytes": network.conv_bytes, "full_bytes": network.full_bytes,
                     "critical": network.about["critical"], "images": len(test),
                     "trace": network.about.get("search", {}).get("trace"),
                     "top1": {name: a.percent[0] for name, a in accuracy.items()}})
    return float_network, networks, rows


def classify(network: Network, folder: Path, images: Images, *, pes: int, structure: str,
             progress: pipeline.Progress = lambda what, share: None) -> dict[str, Any]:
    """Generates the accelerator of a network and has it classify images.

    Parameters
    ----------
    folder : path
        Where its Verilog goes.

    Returns
    -------
    dict
        ``scheme``, ``structure``, ``pes``, ``top``; ``images``, of each its ``label``, the
        ``class`` found, its ``logit``, and ``cycles``; ``logits``, how many; ``mismatches``;
        ``schedule``, see ``benchmarks.cores.describe``.

    Raises
    ------
    :exc:`ValueError`
        If the hardware and the golden model disagree.
    """
    what = f"{network.scheme} {structure}, a whole network"
    parameters = core_for(network, pes, structure=structure)
    progress(f"{what}: generating {pes} PEs", 0.0)
    write_core(network, parameters, folder)
    progress(f"{what}: compiling with Verilator", 0.0)
    proof = cosimulate_core(network, folder, images.pixels[:],
                            progress=partial(_simulated, progress, f"{what}: classifying"))
    if proof["mismatches"]:
        raise ValueError(f"{folder}: {proof['mismatches']} mismatches, "
                         f"first {proof['reported'][0]}")
    return {"scheme": network.scheme, "structure": structure, "pes": pes, "top": proof["top"],
            "images": [{"label": int(label), "class": found, "logit": logits[found],
                        "cycles": cycles} for label, found, logits, cycles in zip(
                            images.labels, proof["classes"], proof["logits"],
                            proof["image_cycles"], strict=True)],
            "logits": sum(map(len, proof["logits"])), "mismatches": proof["mismatches"],
            "schedule": describe(Core(network, parameters))}


def run(folder: Path, report_path: Path, *, pes: int, out: Output) -> dict[str, Any]:
    """Quantizes the shipped network with each scheme, generates arrays for it, co-simulates a real
    layer on each, synthesizes them, has a whole network classify digits in hardware, and writes the
    report.

    Parameters
    ----------
    folder : path
        Where artefacts and Verilog go.
    report_path : path
        The HTML file.
    pes : :class:`int`
        PEs of each array.

    Returns
    -------
    dict
        ``networks``, one entry a scheme, ``arrays``, one for each of :data:`STRUCTURES`,
        ``core`` (:func:`classify`), ``weights`` (values of one layer before and after),
        ``report``.

    Raises
    ------
    :exc:`ValueError`
        If the hardware and the golden model disagree, or as the parts that this calls.
    """
    slices, lanes = from_pes(pes)
    images = data.load(data.DIGITS, "test").take(0, CORE_IMAGES)
    with out.progress() as progress:
        float_network, networks, rows = _quantized(folder, progress)
        arrays = []
        for form in forms():
            if form.structure not in STRUCTURES[form.scheme] or form.dsp:
                continue
            scheme, network = form.scheme, networks[form.scheme]
            name = f"{scheme} {form.structure}"
            rtl = folder / f"{scheme}_{form.structure}_{pes}"
            progress(f"{name}: generating {pes} PEs", 0.0)
            write_array(form.array(slices, lanes, accumulator_bits=max(
                16, required_accumulator_bits(network))), rtl, artefact_hash=network.hash)
            progress(f"{name}: compiling with Verilator", 0.0)
            proof = cosimulate(
                network, rtl, images.pixels[:1], layer=LAYER,
                progress=partial(_simulated, progress, f"{name}: co-simulating {LAYER}"))
            if proof["mismatches"]:
                raise ValueError(f"{rtl}: {proof['mismatches']} mismatches in {LAYER}, "
                                 f"first {proof['reported'][0]}")
            progress(f"{name}: yosys for {DEVICE}", 0.0)
            synthesis = synthesize(rtl, DEVICE)
            arrays.append({"scheme": scheme, "structure": form.structure, "pes": pes,
                           "cosim": proof, "synth": synthesis, "area": row(condensed(synthesis)),
                           "paper_per_pe": AREA_PER_PE[scheme]})
        core = classify(
            networks[CORE_SCHEME], folder / f"core_{CORE_SCHEME}_{CORE_STRUCTURE}_{CORE_PES}",
            images, pes=CORE_PES, structure=CORE_STRUCTURE, progress=progress)
    folded, _ = fold(float_network)[LAYER]
    scale = np.array(networks["quant8"].layers[LAYER].weight_scale)
    weights = {"layer": LAYER, "float": (folded.reshape(len(folded), -1) / scale[:, None])
               .reshape(-1).round(4).tolist(),
               **{scheme: networks[scheme].layers[LAYER].weights.reshape(-1).tolist()
                  for scheme in ("quant8", "doubleq")}}
    result = {"networks": rows, "arrays": arrays, "core": core, "weights": weights,
              "report": str(report_path)}
    report.write(result, report_path, note=NOTE, timing_note=TIMING_NOTE)
    _print(result, out)
    return result


def _print(result: dict[str, Any], out: Output) -> None:
    images = result["networks"][0]["images"]
    networks = {network["scheme"]: network for network in result["networks"]}
    out.table(
        f"{MODEL} on {images} held-out digits; arrays of {result['arrays'][0]['pes']} PEs",
        ["scheme", "float %", "integer %", "conv kB", "structure", "accumulators", "mismatches",
         "LUT/PE", "paper", "FF/PE", "paper", "MHz, estimated"],
        [(a["scheme"], n["top1"]["float"], n["top1"]["integer"], n["conv_bytes"] / 1000,
          a["structure"], a["cosim"]["accumulators"], a["cosim"]["mismatches"],
          a["synth"]["per_pe"]["lut"], a["paper_per_pe"].get("lut"), a["synth"]["per_pe"]["ff"],
          a["paper_per_pe"].get("ff"), a["area"]["fmax_estimate_mhz"])
         for a in result["arrays"] for n in [networks[a["scheme"]]]])
    out.say(NOTE)
    core = result["core"]
    out.table(f"Digits classified by {core['top']}, simulated: {core['structure']}",
              ["digit", "class", "logit", "cycles"],
              [list(image.values()) for image in core["images"]])
    out.say(f"{core['mismatches']} mismatches in {core['logits']} logits and in the cycles; "
            f"{core['schedule']['utilization']:.1f} % of the multiplications possible in these "
            f"cycles are done")
    out.say(f"report: {result['report']}")
