import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_rows import SETUP

import jobs
from benchmarks import rows
from benchmarks.accuracy import bench_accuracy
from benchmarks.rows import Setup
from models import formats

SETUP = replace(SETUP, images=200)
FEW = {"calibration_images": 100, "selection_images": 200}
TIMES = ("seconds", "peak_memory_mb")


@pytest.fixture
def inline():
    with jobs.executor() as executor:
        yield executor


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """All groups on few digits."""
    folder = tmp_path_factory.mktemp("accuracy")
    with jobs.executor() as executor:
        return folder, bench_accuracy(SETUP, folder, executor, **FEW)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def timeless(value):
    """Without what differs from run to run."""
    if isinstance(value, dict):
        return {key: timeless(entry) for key, entry in value.items() if key not in TIMES}
    return [timeless(entry) for entry in value] if isinstance(value, list) else value


def test_files(whole):
    folder, result = whole
    assert sorted(contents(folder)) == sorted(result["files"])
    assert json.loads((folder / "accuracy.json").read_text()) == result
    text = (folder / "accuracy.md").read_text()
    for name in result["files"]:
        assert not name.endswith(".svg") or f"({name})" in text
    assert str(folder) not in text


def test_rows(whole):
    _, result = whole
    by_name = {row["name"]: row for row in result["rows"]}
    assert list(by_name)[:2] == ["float", "Quant8"]
    int8 = by_name["Quant8"]["conv_bytes"]
    for row in result["rows"]:
        assert row["times_int8"] == int8 / row["conv_bytes"]
        assert row["times_float32"] == 4 * row["times_int8"]
        [own] = row["accuracy"]
        share = own["top1_correct"] / 200
        assert own["top1"] == pytest.approx(100 * share)
        assert own["top1_error"] == pytest.approx(100 * (share * (1 - share) / 200) ** 0.5)
        assert own["against_quant8"]["images"] == (
            own["top1_correct"] - by_name["Quant8"]["accuracy"][0]["top1_correct"])
        assert own["against_quant8"]["points"] == pytest.approx(
            100 * own["against_quant8"]["images"] / 200)
    assert by_name["Quant8"]["accuracy"][0]["against_quant8"] == {
        "points": 0.0, "standard_error": 0.0, "images": 0}
    for name, fmt in formats.FORMATS.items():
        assert by_name[f"calibrated {name}"]["times_int8"] == 8 / fmt.bits
    assert by_name["DoubleQ as published"]["times_float32"] == 6.4


def test_curves(whole):
    """Every network of Algorithm 1, and those of the selection by sensitivity."""
    _, result = whole
    rows_of = {search["name"]: [row for row in result["rows"] if row["search"] == search["name"]]
               for search in result["searches"]}
    for name in ("Algorithm 1", "Algorithm 1, on test images"):
        [trace] = [search["trace"] for search in result["searches"] if search["name"] == name]
        assert [row["conv_bytes"] for row in rows_of[name]] == [
            step["conv_bytes"] for step in trace]
    # On the very images that the paper's protocol selects on, the trace says what is measured.
    assert result["searches"][1]["on"] == "test images, as the paper"
    assert len(trace) > 1
    assert [row["accuracy"][0]["top1_correct"] for row in rows_of[name]] == [
        step["correct"] for step in trace]
    kilobytes = [row["conv_bytes"] for row in rows_of["sensitivity (all formats)"]]
    assert kilobytes == sorted(set(kilobytes))
    assert len(kilobytes) > 2
    assert len(rows_of["sensitivity (pot5, int8)"]) == 1


def test_compression(whole):
    dense, words = whole[1]["compression"]
    assert (dense["times_float32"], dense["paper"]) == (6.4, 6.4)
    assert words["times_float32"] == pytest.approx(6.0, abs=0.001)
    assert words["paper"] == 6.0


def test_again_gives_the_same_bytes(whole, inline, monkeypatch):
    """From the store: nothing is made or measured again."""
    folder, _ = whole
    before = contents(folder)

    def refuse(*arguments, **options):
        raise AssertionError("computed again")

    for name in ("_row", "_float_row", "_search", "_ranges"):
        monkeypatch.setattr(rows, name, refuse)
    bench_accuracy(SETUP, folder, inline, **FEW)
    assert contents(folder) == before


def test_goes_on_after_an_interruption(tmp_path, inline, monkeypatch):
    made, work_row = [], rows._row

    def counted(setup, recipe, **options):
        made.append(recipe)
        return work_row(setup, recipe, **options)

    monkeypatch.setattr(rows, "_row", counted)

    def interrupt(what, share):
        if len(made) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench_accuracy(SETUP, tmp_path, inline, groups=("paper",), progress=interrupt, **FEW)
    assert contents(tmp_path) == {}
    assert len(list((tmp_path / "jobs").iterdir())) == 3
    result = bench_accuracy(SETUP, tmp_path, inline, groups=("paper", "paper"), **FEW)
    assert len(made) == 5
    assert [row["name"] for row in result["rows"]] == [
        "float", "Quant8", "Quant8 as published", "Quant8, affine",
        "DoubleQ, affine: log, per tensor", "DoubleQ as published"]


@pytest.mark.parametrize("change", [
    {"setup": replace(SETUP, images=50)}, {"calibration_images": 90}, {"selection_images": 199}])
def test_other_inputs_are_other_results(whole, tmp_path, inline, change):
    """In a folder that holds results of other inputs, the same as in a fresh one."""
    options = {**FEW, "groups": ("nearest",), **change}
    setup = options.pop("setup", SETUP)
    used, fresh = tmp_path / "used", tmp_path / "fresh"
    bench_accuracy(SETUP, used, inline, groups=("nearest",), **FEW)
    assert timeless(bench_accuracy(setup, used, inline, **options)) == timeless(
        bench_accuracy(setup, fresh, inline, **options))
    assert len(list((used / "jobs").iterdir())) > len(list((fresh / "jobs").iterdir()))


def test_executors_agree(any_executor, whole, tmp_path):
    groups = ("nearest", "greedy")
    result = bench_accuracy(SETUP, tmp_path, any_executor, groups=groups, **FEW)
    everything = {row["name"]: row for row in whole[1]["rows"]}
    assert timeless(result["rows"]) == timeless([everything[row["name"]]
                                                 for row in result["rows"]])
    assert timeless(result["searches"]) == timeless(whole[1]["searches"][:1])
    assert result["ranges"] == whole[1]["ranges"]


def test_labels_of_data_sets(tmp_path, inline):
    """The folder's name, numbered where two have the same one."""
    twice = replace(SETUP, data=("digits", "digits"), images=5)
    result = bench_accuracy(twice, tmp_path, inline, groups=("nearest",), **FEW)
    assert [entry["name"] for entry in result["data"]] == ["digits 1", "digits 2"]
    assert all(len(row["accuracy"]) == 2 for row in result["rows"])
    one, two = result["rows"][1]["accuracy"]
    assert one == two


@pytest.mark.parametrize(("groups", "message"), [
    (("paper", "magic"), "rows must be some of paper, nearest, .*, sensitivity, not magic"),
    ((), "not none")])
def test_unknown_groups(tmp_path, inline, groups, message):
    with pytest.raises(ValueError, match=message):
        bench_accuracy(SETUP, tmp_path / "out", inline, groups=groups)
    assert not (tmp_path / "out").exists()


def test_output_is_a_file(tmp_path, inline):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file, expected a folder or a new name"):
        bench_accuracy(SETUP, tmp_path / "file", inline)


def test_damaged_store(tmp_path, inline):
    bench_accuracy(SETUP, tmp_path, inline, groups=("nearest",), **FEW)
    file = next((tmp_path / "jobs").iterdir())
    file.write_text("{")
    with pytest.raises(ValueError, match=f"{file.name}: damaged result of job"):
        bench_accuracy(SETUP, tmp_path, inline, groups=("nearest",), **FEW)


@pytest.mark.slow
def test_resnet20(data_folder: Path, tmp_path: Path):
    """The paper's network: its memory to the printed digit, its loss, and less of it."""
    setup = Setup(checkpoint=str(data_folder / "checkpoints" / "resnet20_float32.pth.tar"),
                  model="resnet20", data=tuple(str(data_folder / name)
                                               for name in ("cifar10", "cifar10_jpeg")))
    with jobs.executor("processes") as executor:
        result = bench_accuracy(setup, tmp_path, executor,
                                groups=("paper", "calibrated", "sensitivity"))
    rows_by_name = {row["name"]: row for row in result["rows"]}

    def points(name, index):
        return rows_by_name[name]["accuracy"][index]["against_quant8"]

    for name, kilobytes in [("Quant8", 270.26), ("DoubleQ as published", 168.91),
                            ("calibrated pot4", 135.13), ("calibrated pot3", 101.35)]:
        assert round(rows_by_name[name]["conv_bytes"] / 1000, 2) == kilobytes
    published = points("DoubleQ as published", 0)
    assert abs(published["points"] + 7.28) < 3 * published["standard_error"]
    for name, floor in [("calibrated pot5", -0.8), ("calibrated pot4", -1.2),
                        ("calibrated pot3", -2.5)]:
        assert points(name, 1)["points"] >= floor
    [budget] = [row for row in result["rows"] if row["search"] == "sensitivity (pot5, int8)"]
    assert budget["conv_bytes"] <= 207950
    assert budget["accuracy"][1]["against_quant8"]["points"] >= -0.4
    assert "−7.28" in (tmp_path / "accuracy.md").read_text()
