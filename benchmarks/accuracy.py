"""The accuracy benchmark: the networks of the paper's Tables 3 to 5 and ours, on the same images.

Every network is an independent job, whose result is stored from the moment it is there: a run that
was interrupted goes on where it stopped, and a second run repeats the figures of the first, times
included.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import files
import models
from benchmarks import plots, rows, tables
from benchmarks.published import COMPRESSION, MEMORY_SAVED, RESNET20_CURVE
from benchmarks.rows import Setup, Task, images_digest, load, work
from jobs import Executor
from models import formats, pipeline
from models.evaluate import Accuracy
from models.network import Topology
from models.pipeline import Recipe

__all__ = ["GROUPS", "SCHEMA", "bench_accuracy"]

SCHEMA = 1
GROUPS = ("paper", "nearest", "greedy", "greedy-on-test", "calibrated", "sensitivity")
TWO_FORMATS, FOUR_FORMATS = "sensitivity (pot5, int8)", "sensitivity (all formats)"
STORE = "jobs"
# Of the points of a curve by sensitivity, every so many become networks that are measured.
STRIDE = 3

Make = Callable[..., Recipe]
Progress = Callable[[str, float], None]


def _int8_kb(topology: Topology) -> float:
    return sum(node.weight_count for node in topology.convs) / 1000


def _budget_kb(topology: Topology) -> float:
    """The paper's DoubleQExt at 1.19 points: its memory, or its share of int8's elsewhere."""
    paper, int8 = list(RESNET20_CURVE), _int8_kb(topology)
    if topology.model == "resnet20" and round(int8, 2) == paper[0]:
        return paper[-1]
    return int8 * (1 - MEMORY_SAVED["doubleqext"] / 100)


def _networks(groups: Iterable[str], make: Make) -> list[Task]:
    """The networks that need no search."""
    log = partial(make, scheme="doubleq", rounding="log", per_tensor=True)
    tasks = {
        "paper": [
            Task(name=tables.QUANT8_AS_PUBLISHED, kind="integer",
                 recipe=make(scheme="quant8", per_tensor=True)),
            Task(name="Quant8, affine", kind="affine", recipe=make(scheme="quant8")),
            Task(name="DoubleQ, affine: log, per tensor", kind="affine", recipe=log()),
            Task(name=tables.DOUBLEQ_AS_PUBLISHED, kind="integer", recipe=log())],
        "nearest": [Task(name="DoubleQ nearest", kind="integer",
                         recipe=make(scheme="doubleq", rounding="nearest"))],
        "calibrated": [
            Task(name=f"calibrated {name}", kind="integer", recipe=make(
                scheme="doubleq" if fmt.power_of_two else "quant8", rounding="calibrated",
                **({"format": name} if fmt.power_of_two else {})))
            for name, fmt in formats.FORMATS.items()]}
    return [Task(name=tables.FLOAT, kind="float"),
            Task(name=tables.QUANT8, kind="integer", recipe=make(scheme="quant8")),
            *(task for group in groups for task in tasks.get(group, []))]


def _searches(groups: Iterable[str], make: Make, topology: Topology) -> list[Task]:
    greedy = partial(make, scheme="doubleqext", rounding="log", per_tensor=True, mrt=100.0)
    sensitivity = partial(make, scheme="doubleqext", rounding="calibrated",
                          selection="sensitivity")
    tasks = {
        "greedy": [("Algorithm 1", greedy())],
        "greedy-on-test": [("Algorithm 1, on test images", greedy(paper_protocol=True))],
        "sensitivity": [
            (TWO_FORMATS, sensitivity(formats=("pot5", "int8"), budget_kb=_budget_kb(topology))),
            (FOUR_FORMATS, sensitivity(formats=tuple(formats.FORMATS),
                                       budget_kb=_int8_kb(topology) * 5 / 8))]}
    return [Task(name=name, kind="search", recipe=recipe)
            for group in groups for name, recipe in tasks.get(group, [])]


def _curve(search: Task, found: Mapping[str, Any], make: Make) -> list[Task]:
    """The networks on the trade-off curve that a search found."""
    point = partial(Task, kind="integer", search=search.name)
    extend = partial(make, scheme="doubleqext")
    if search.recipe is not None and search.recipe.selection == "greedy":
        critical = tuple(step["layer"] for step in found["trace"][1:])
        return [point(name=f"{search.name}, {count} at 8 bit",
                      recipe=extend(rounding="log", per_tensor=True, critical=critical[:count]))
                for count in range(len(critical) + 1)]
    kept = [entry["formats"] for entry in found["trace"][::STRIDE]]
    chosen = {entry["conv_bytes"]: entry["formats"] for entry in found["trace"]
              if entry["formats"] == found["formats"]
              or (search.name == FOUR_FORMATS and entry["formats"] in kept)}
    return [point(name=f"{search.name}, {size / 1000:.2f} kB",
                  recipe=extend(rounding="calibrated", assigned=assigned))
            for size, assigned in sorted(chosen.items())]


def _key(task: Task) -> str:
    recipe = json.dumps(task.recipe and asdict(task.recipe), sort_keys=True)
    digest = hashlib.sha256(f"{task.kind} {recipe}".encode()).hexdigest()
    return f"{task.name} [{digest[:12]}]"


def _code_digest() -> str:
    """SHA-256 of the code that results depend on: stored ones of another version do not count."""
    sources = [*sorted(Path(models.__path__[0]).glob("*.py")), Path(rows.__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _measured(found: Mapping[str, Any], quant8: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of one network on each test set."""
    measurements = []
    for own, other in zip(found["accuracy"], quant8["accuracy"], strict=True):
        accuracy, reference = (Accuracy(np.array(part["rank"])) for part in (own, other))
        points, error = accuracy.paired(reference)
        shares = [percent / 100 for percent in accuracy.percent]
        top1_error, top5_error = (100 * (p * (1 - p) / accuracy.images) ** 0.5 for p in shares)
        measurements.append({
            "top1": accuracy.percent[0], "top1_error": top1_error, "top1_correct": accuracy.top1,
            "top5": accuracy.percent[1], "top5_error": top5_error, "top5_correct": accuracy.top5,
            "against_quant8": {"points": points, "standard_error": error,
                               "images": accuracy.top1 - reference.top1},
            "divergence": own["divergence"], "agreement": own["agreement"]})
    return measurements


def _entry(task: Task, found: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """One row."""
    size = found["conv_bytes"]
    return {"name": task.name, "kind": task.kind, "search": task.search, "conv_bytes": size,
            "full_bytes": found.get("full_bytes"),
            "times_float32": results[tables.FLOAT]["conv_bytes"] / size,
            "times_int8": results[tables.QUANT8]["conv_bytes"] / size,
            "formats": found.get("formats"), "weights": found.get("weights"),
            **(found.get("cost") or {"seconds": None, "peak_memory_mb": None}),
            "accuracy": _measured(found, results[tables.QUANT8])}


def _compression(topology: Topology) -> list[dict[str, Any]]:
    """Table 9: convolution weights in float32 to those in ``pot5``."""
    counts = [node.weight_count for node in topology.convs]
    packed = {"dense": sum(counts) * 5 / 8, "u16x3": sum(2 * -(-count // 3) for count in counts)}
    return [{"packing": name, "bytes": size, "times_float32": 4 * sum(counts) / size,
             "paper": paper}
            for (name, size), paper in zip(packed.items(), COMPRESSION, strict=True)]


def _labels(sources: tuple[str, ...]) -> list[str]:
    """Names of the data sets, without the folders that they are in."""
    names = [Path(source).name for source in sources]
    return [f"{name} {index}" if names.count(name) > 1 else name
            for index, name in enumerate(names, 1)]


def bench_accuracy(setup: Setup, output: Path, executor: Executor, *,
                   groups: tuple[str, ...] = GROUPS, calibration_images: int = 1500,
                   selection_images: int = 500,
                   progress: Progress = lambda what, share: None) -> dict[str, Any]:
    """Makes and measures networks, and writes ``accuracy.json``, ``accuracy.md`` and plots.

    Parameters
    ----------
    output : path
        Folder of the files, and of the results of finished jobs.
    executor : :class:`Executor`
        Runs the jobs.
    groups : tuple of :class:`str`
        Of :data:`GROUPS`, besides float and Quant8: ``paper`` (its Quant8 and DoubleQ, one scale a
        layer, and the affine form of its equations 1 to 3), ``nearest``, ``greedy`` (the curve of
        its Algorithm 1, selected on training images), ``greedy-on-test`` (selected on test images,
        as the paper did), ``calibrated`` (in every format) and ``sensitivity`` (formats layer by
        layer).
    calibration_images, selection_images : :class:`int`
        How many of the first and last training images.

    Returns
    -------
    dict
        What ``accuracy.json`` holds: ``schema``, ``model``, ``checkpoint``, ``checkpoint_sha256``,
        ``calibration_images``, ``selection_images``, ``data`` (of each test set ``name``,
        ``images``, ``sha256``), ``rows``, ``searches``, ``compression``, ``ranges`` and ``files``.
        Of a row: ``name``, ``kind`` (``integer``, ``affine`` or ``float``), memory, ``formats``,
        ``weights`` (counts of each value of each format), ``seconds`` and ``peak_memory_mb`` of
        making it, and ``accuracy`` on each test set, with standard errors, the paired difference
        ``against_quant8``, and ``divergence`` (nats) and ``agreement`` (%) with the float network.

    Raises
    ------
    :exc:`ValueError`
        If a group is not known, ``output`` is a file, or as the jobs.
    """
    unknown = [group for group in groups if group not in GROUPS]
    if unknown or not groups:
        raise ValueError(f"rows must be some of {', '.join(GROUPS)}, not "
                         f"{', '.join(unknown) or 'none'}")
    groups = tuple(dict.fromkeys(groups))
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, expected a folder or a new name")
    progress("reading", 0.0)
    loaded = load(setup)
    topology = loaded.network.topology
    make = partial(Recipe, calibration_images=calibration_images,
                   selection_images=selection_images)
    calibrating, _ = pipeline.split(loaded.train, make(scheme="quant8"))
    digests = [images_digest(test) for test in loaded.tests]
    checkpoint_digest = pipeline.digest(Path(setup.checkpoint))
    version = hashlib.sha256(json.dumps([
        _code_digest(), checkpoint_digest, setup.model, setup.options,
        asdict(loaded.normalization), images_digest(loaded.train), digests]).encode()).hexdigest()

    def run(what: str, tasks: list[Task]) -> dict[str, Any]:
        found = executor.run(
            work, {_key(task): (setup, task) for task in tasks}, store=output / STORE,
            version=version, progress=lambda done, total: progress(what, done / max(total, 1)))
        return {task.name: result for task, result in zip(tasks, found.values(), strict=True)}

    searches = _searches(groups, make, topology)
    networks = _networks(groups, make)
    ranges = Task(name="ranges", kind="ranges", recipe=make(scheme="quant8"))
    results = run("networks and searches", [*networks, ranges, *searches])
    curves = [task for search in searches for task in _curve(search, results[search.name], make)]
    results |= run("curves", curves)

    content = {
        "schema": SCHEMA, "model": setup.model, "checkpoint": Path(setup.checkpoint).name,
        "checkpoint_sha256": checkpoint_digest, "calibration_images": len(calibrating),
        "selection_images": selection_images,
        "data": [{"name": name, "images": len(test), "sha256": digest} for name, test, digest in
                 zip(_labels(setup.data), loaded.tests, digests, strict=True)],
        "rows": [_entry(task, results[task.name], results) for task in [*networks, *curves]],
        "searches": [{"name": search.name, **results[search.name]} for search in searches],
        "compression": _compression(topology), "ranges": results["ranges"]}
    drawn = plots.draw(content)
    content["files"] = ["accuracy.json", "accuracy.md", *drawn]
    for name, text in drawn.items():
        files.write_text(output / name, text)
    files.write_text(output / "accuracy.md", tables.markdown(content))
    files.write_json(output / "accuracy.json", content)
    return content
