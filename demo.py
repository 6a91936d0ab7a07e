"""The demonstration: the whole way on what the project ships, for all three schemes."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import report
from benchmarks.published import AREA_PER_PE, NOTE
from console import Output
from gen.export import required_accumulator_bits, write_array
from gen.parameters import ArrayParameters, from_pes
from gen.synth import synthesize
from models import checkpoints, data, pipeline
from models.floatnet import FloatNetwork
from models.network import SCHEMES, Network
from models.quantize import fold
from sim.cosim import cosimulate

__all__ = ["run"]

CHECKPOINT = Path(__file__).resolve().parent / "models" / "resnet8_digits.safetensors"
MODEL = "resnet8"
LAYER = "layer2.0.conv1"
DEVICE = "xc7a100t"


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


def run(folder: Path, report_path: Path, *, pes: int, out: Output) -> dict[str, Any]:
    """Quantizes the shipped network with each scheme, generates an array for it, co-simulates a
    real layer, synthesizes, and writes the report.

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
        ``networks`` and ``arrays``, one entry a scheme, ``weights`` (values of one layer before and
        after), ``report``.

    Raises
    ------
    :exc:`ValueError`
        If the hardware and the golden model disagree, or as the parts that this calls.
    """
    slices, lanes = from_pes(pes)
    pixels = data.load(data.DIGITS, "test").pixels[:1]
    with out.progress() as progress:
        float_network, networks, rows = _quantized(folder, progress)
        arrays = []
        for scheme, network in networks.items():
            rtl = folder / f"{scheme}_{pes}"
            progress(f"{scheme}: generating {pes} PEs", 0.0)
            parameters = ArrayParameters(
                scheme=scheme, slices=slices, lanes=lanes,
                accumulator_bits=max(16, required_accumulator_bits(network)))
            write_array(parameters, rtl, artefact_hash=network.hash)
            progress(f"{scheme}: compiling with Verilator", 0.0)
            proof = cosimulate(
                network, rtl, pixels, layer=LAYER,
                progress=partial(_simulated, progress, f"{scheme}: co-simulating {LAYER}"))
            if proof["mismatches"]:
                raise ValueError(f"{rtl}: {proof['mismatches']} mismatches in {LAYER}, "
                                 f"first {proof['reported'][0]}")
            progress(f"{scheme}: yosys for {DEVICE}", 0.0)
            area = synthesize(rtl, DEVICE)
            arrays.append({"scheme": scheme, "pes": pes, "cosim": proof, "synth": area,
                           "paper_per_pe": AREA_PER_PE[scheme]})
    folded, _ = fold(float_network)[LAYER]
    scale = np.array(networks["quant8"].layers[LAYER].weight_scale)
    weights = {"layer": LAYER, "float": (folded.reshape(len(folded), -1) / scale[:, None])
               .reshape(-1).round(4).tolist(),
               **{scheme: networks[scheme].layers[LAYER].weights.reshape(-1).tolist()
                  for scheme in ("quant8", "doubleq")}}
    result = {"networks": rows, "arrays": arrays, "weights": weights, "report": str(report_path)}
    report.write(result, report_path, note=NOTE)
    _print(result, out)
    return result


def _print(result: dict[str, Any], out: Output) -> None:
    images = result["networks"][0]["images"]
    out.table(
        f"{MODEL} on {images} held-out digits; arrays of {result['arrays'][0]['pes']} PEs",
        ["scheme", "float %", "integer %", "conv kB", "accumulators", "mismatches", "LUT/PE",
         "paper", "FF/PE", "paper"],
        [(n["scheme"], n["top1"]["float"], n["top1"]["integer"], n["conv_bytes"] / 1000,
          a["cosim"]["accumulators"], a["cosim"]["mismatches"], a["synth"]["per_pe"]["lut"],
          a["paper_per_pe"].get("lut"), a["synth"]["per_pe"]["ff"], a["paper_per_pe"].get("ff"))
         for n, a in zip(result["networks"], result["arrays"], strict=True)])
    out.say(NOTE)
    out.say(f"report: {result['report']}")
