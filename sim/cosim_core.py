"""Co-simulation of a core: images through the Verilog of a whole network, against the golden
model."""

import hashlib
import itertools
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from models.golden import GoldenNetwork
from models.network import Network
from rtl import LOAD, RTL, read_rtl
from sim.runner import simulate

__all__ = ["cosimulate_core", "read_core"]

HARNESS = Path(__file__).with_name("harness.v")
MAX_REPORTED = 10


def read_core(folder: Path, network: Network) -> RTL:
    """Reads a generated core that was made for ``network``.

    Raises
    ------
    :exc:`ValueError`
        If there is none, or it was made for another network.
    """
    rtl = read_rtl(folder)
    if rtl.sidecar["kind"] != "core":
        raise ValueError(f"{folder}: expected a generated core, found {rtl.sidecar['kind']!r}")
    if rtl.sidecar["artefact"] != network.hash:
        raise ValueError(f"{folder}: was made for the artefact {rtl.sidecar['artefact'][:12]}, "
                         f"not {network.hash[:12]}")
    return rtl


def _read_load(folder: Path, rtl: RTL) -> bytes:
    """What is loaded into a core, nothing where its weights are fixed.

    Raises
    ------
    :exc:`ValueError`
        If it is missing or damaged.
    """
    if not rtl.sidecar["load"]:
        return b""
    path = Path(folder) / LOAD
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    found, expected = hashlib.sha256(content).hexdigest(), rtl.sidecar["files"][LOAD]
    if found != expected:
        raise ValueError(f"{path}: SHA-256 must be {expected} as in the sidecar, found {found}")
    return content


class _Replay:
    """The activation memory as the writes of results leave it."""

    def __init__(self, rtl: RTL) -> None:
        memory = self.memory = rtl.sidecar["memory"]
        self.groups = rtl.parameters["groups"]
        self.words = np.zeros((memory["banks"], memory["depth"], memory["wide"]), np.int64)

    def write(self, line: str) -> int:
        """Applies one write; gives its cycle."""
        cycle, banks, parts, address, data = line.split()
        wide, channels = self.memory["wide"], self.memory["channels"]
        raw = np.frombuffer(int(data, 16).to_bytes(self.groups * wide, "little"), np.int8)
        words = raw.reshape(self.groups, wide)
        for bank in range(self.memory["banks"]):
            if int(banks, 16) >> bank & 1:
                for part in range(wide // channels):
                    if int(parts, 16) >> part & 1:
                        lanes = slice(part * channels, (part + 1) * channels)
                        self.words[bank, int(address, 16), lanes] = words[bank % self.groups, lanes]
        return int(cycle)

    def tensor(self, place: dict[str, Any]) -> np.ndarray:
        """Activations [C, H, W]."""
        y, x, block = np.ogrid[:place["height"], :place["width"], :place["blocks"]]
        banks = self.memory["banks"]
        address = place["base"] + (y * place["columns"] + x // banks) * place["blocks"] + block
        stored = self.words[x % banks, address].reshape(place["height"], place["width"], -1)
        result = np.empty((len(place["order"]), *stored.shape[:2]), np.int64)
        result[place["order"]] = stored[..., :len(place["order"])].transpose(2, 0, 1)
        return result


def _compare_layers(models: list[GoldenNetwork], rtl: RTL, pixels: np.ndarray, writes: list[str]
                    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What each layer but the last wrote, and when, against the golden models, each with all
    images, and the schedule."""
    replay, lines = _Replay(rtl), iter(writes)
    layers = [layer for layer in rtl.sidecar["layers"] if layer["tensor"] is not None]
    compared = {layer["name"]: {"layer": layer["name"], "activations": 0, "mismatches": 0,
                                "cycles": layer["cycles"]} for layer in layers}
    reported: list[dict[str, Any]] = []
    for image, (golden, picture) in enumerate(itertools.product(models, pixels)):
        tensors = golden.run(picture[None], keep=compared)
        before = None
        for layer in layers:
            for _ in range(layer["sets"]):
                cycle = replay.write(next(lines, "0 0 0 0 0"))
            found = replay.tensor(layer["tensor"])
            expected = tensors[layer["name"]][0].long().numpy()
            wrong = np.argwhere(found != expected)
            compared[layer["name"]]["activations"] += expected.size
            compared[layer["name"]]["mismatches"] += len(wrong)
            reported += [
                {"what": "activation", "layer": layer["name"], "image": image,
                 "channel": int(c), "pixel": [int(y), int(x)],
                 "expected": int(expected[c, y, x]), "got": int(found[c, y, x])}
                for c, y, x in wrong[:MAX_REPORTED]]
            if before is not None and cycle - before != layer["cycles"]:
                reported.append({"what": "cycles", "layer": layer["name"], "image": image,
                                 "expected": layer["cycles"], "got": cycle - before})
                compared[layer["name"]]["mismatches"] += 1
            before = cycle
    return list(compared.values()), reported


def cosimulate_core(network: Network, folder: Path, pixels: np.ndarray, *,
                    layers: bool = False, simulator: str = "verilator", wave: Path | None = None,
                    corrupt: int | None = None, reload: tuple[Network, Path] | None = None,
                    progress: Callable[[int, int], None] = lambda done, total: None
                    ) -> dict[str, Any]:
    """Streams images through the core in ``folder``, one right after the other.

    Every logit is compared with the golden model's, and the cycles of each image with the
    schedule's.

    Parameters
    ----------
    pixels : array
        Images, uint8 [N, C, H, W].
    layers : :class:`bool`
        Whether every activation that is written, and the cycles of every layer, are compared as
        well.
    wave : path or None
        Where to write an FST waveform.
    corrupt : :class:`int` or None
        Adds one to the golden logit with this index, to show that the comparison notices.
    reload : pair of :class:`Network` and path, or None
        Another network, and its core with the same Verilog, whose weights are then loaded as well,
        before all images come once more.
    progress : callable
        Told the cycles done and in all.

    Returns
    -------
    dict
        ``artefact``, ``top``, ``simulator``, ``images``, ``logits`` ([images, classes]),
        ``classes`` (the first class of each image), ``image_cycles`` (that each took),
        ``intervals`` (from the logits of an image to the next one's), ``predicted_cycles``,
        ``cycles`` (simulated in all), ``layers`` (of each ``activations``, ``mismatches`` and
        ``cycles``; None unless wanted), ``mismatches``, ``reported`` (the first ones), ``seconds``
        and ``cycles_per_second``, with compilation.

    Raises
    ------
    :exc:`ValueError`
        If a core is not that of its network or lacks what is loaded, or as
        :func:`sim.runner.simulate`.
    """
    rtl = read_core(folder, network)
    models, loads = [GoldenNetwork(network)], [_read_load(folder, rtl)]
    if reload:
        other = read_core(reload[1], reload[0])
        if not loads[0] or other.verilog != rtl.verilog:
            raise ValueError(f"{reload[1]}: cannot be loaded into {folder}, expected the same core "
                             f"with --weights load")
        models.append(GoldenNetwork(reload[0]))
        loads.append(_read_load(reload[1], other))
    classes, predicted = network.topology.classes, rtl.sidecar["image_cycles"]
    start = time.perf_counter()
    expected = np.concatenate([model.logits(pixels) for model in models]).astype(np.int64)
    if corrupt is not None:
        expected.reshape(-1)[corrupt % expected.size] += 1
    stream = np.ascontiguousarray(pixels.transpose(0, 2, 3, 1))
    images = len(expected)
    limit = (images + 1) * (predicted + 8 * stream[0].size) + 10000 + len(b"".join(loads))
    scratch = Path(tempfile.mkdtemp(prefix="doubleq-"))
    try:
        (scratch / "pixels.bin").write_bytes(stream.tobytes() * len(models))
        (scratch / "loads.bin").write_bytes(b"".join(loads))
        (scratch / "harness.txt").write_text(
            f"{stream[0].size} {int(layers)} {len(loads[0]) // 4} {len(pixels)}\n")
        (scratch / "job.json").write_text(json.dumps({"logits": expected.size, "limit": limit}))
        total = images * predicted
        ran = time.perf_counter()
        result = simulate(Path(folder), rtl, bench="sim.bench_core", job=scratch, harness=HARNESS,
                          defines={"LOAD": 1} if loads[0] else {}, simulator=simulator, wave=wave,
                          progress=lambda cycles: progress(min(cycles, total), total))
        seconds = time.perf_counter() - ran
        rows = np.loadtxt(scratch / "logits.txt", dtype=np.int64, ndmin=2).reshape(-1, 4)
        writes = (scratch / "writes.txt").read_text().splitlines() if layers else []
    finally:
        shutil.rmtree(scratch, ignore_errors=True)

    reported = []
    found = np.full(expected.size, np.iinfo(np.int64).min)
    found[:len(rows)] = rows[:expected.size, 1]
    logits = found.reshape(expected.shape)
    for image, class_ in np.argwhere(logits != expected):
        reported.append({"what": "logit", "image": int(image), "class": int(class_),
                         "expected": int(expected[image, class_]),
                         "got": int(logits[image, class_])})
    ends = rows[classes - 1::classes]
    taken = ends[:, 3].tolist()
    reported += [{"what": "cycles", "image": k, "expected": predicted, "got": cycles}
                 for k, cycles in enumerate(taken) if cycles != predicted]
    mismatches = len(reported)
    compared = None
    if layers:
        compared, more = _compare_layers(models, rtl, pixels, writes)
        reported += more
        mismatches += sum(entry["mismatches"] for entry in compared)
    return {"artefact": network.hash, "top": rtl.top, "simulator": simulator,
            "images": images, "logits": logits.tolist(),
            "classes": logits.argmax(1).tolist(), "image_cycles": taken,
            "intervals": np.diff(ends[:, 2]).tolist(), "predicted_cycles": predicted,
            "cycles": result["cycles"], "layers": compared,
            "mismatches": mismatches, "reported": reported[:MAX_REPORTED],
            "seconds": time.perf_counter() - start,
            "cycles_per_second": result["cycles"] / seconds}
