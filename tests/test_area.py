import json

import pytest

import jobs
from benchmarks.area import bench_area, markdown, parse_layouts, row, tables
from gen.fit import forms
from gen.structures import STRUCTURES


def result(scheme="doubleq", structure="merged", *, pes=16, lut=500, ff=250, dsp=0, fmax=200.0,
           slices=None, device="xc7a100t", **options):
    """As benchmarks.synthesis gives them, with made-up figures."""
    [form, *_] = [form for form in forms((scheme,)) if form.structure == structure
                  and form.dsp == bool(dsp)]
    rows = slices or STRUCTURES[structure].SUMS
    array = form.array(rows, pes // rows, **options)
    total = {"lut": lut, "ff": ff, "dsp": dsp, "bram36": 0}
    return {"device": device, "parameters": {**array.__dict__, "pes": pes}, "total": total,
            "per_pe": {kind: round(count / pes, 2) for kind, count in total.items()},
            "yosys": "Yosys 0.70", "verilog_sha256": "0" * 64, "seconds": 1.5,
            "peak_memory_mb": 100, "fmax_estimate_mhz": fmax,
            "fmax_estimate_range_mhz": [fmax - 50, fmax + 50],
            "delay_ns": {"register": 900 / fmax, "input": 1000 / fmax}}


@pytest.fixture
def inline():
    with jobs.executor() as executor:
        yield executor


@pytest.mark.parametrize(("text", "layouts"), [
    ("9", [(1, 9)]), ("512", [(32, 16)]), ("2x32", [(2, 32)]),
    ("9, 64,4x8", [(1, 9), (4, 16), (4, 8)])])
def test_layouts(text, layouts):
    assert parse_layouts(text) == layouts


@pytest.mark.parametrize(("text", "message"), [
    ("", "numbers or SLICESxLANES, separated by commas, not ''"), ("9,", "not ''"),
    ("a", "not 'a'"), ("2x3x4", "not '2x3x4'"), ("-4", "not '-4'"), ("2x", "not '2x'"),
    ("0", "array pes must be a positive integer, not 0"),
    ("129x1", "1 to 128 slices of 1 to 64 lanes each, not 129x1"),
    ("1x65", "lanes each, not 1x65"), ("8193", "array pes must be 1 to 128 slices")])
def test_bad_layouts(text, message):
    with pytest.raises(ValueError, match=message):
        parse_layouts(text)


def test_row():
    """Two operations a MAC; a thousand cycles a second each."""
    found = row(result(pes=16, lut=480, fmax=250.0))
    assert found["macs_per_cycle"] == {"pot": 16}
    assert found["gops"] == {"pot": 2 * 16 * 0.25}
    assert found["gops_per_klut"] == {"pot": round(8 / 0.48, 3)}
    assert found["lut_per_mac"] == {"pot": 30}
    assert found["paper"]["lut"] == 862.4 and found["paper"]["lut_per_pe"] == 53.9
    assert found["paper"]["ff_per_pe"] == 29 and found["off"] is None


def test_row_of_two_kinds_of_weights():
    """Two powers of two a lane, or one 8-bit weight; an 8-bit weight in four passes."""
    dual = row(result("doubleqext", "dual", pes=16, lut=1200))
    assert dual["macs_per_cycle"] == {"int8": 16, "pot": 32}
    assert dual["lut_per_mac"] == {"int8": 75, "pot": 37.5}
    terms = row(result("doubleqext", "terms", pes=16, lut=480))
    assert terms["macs_per_cycle"] == {"int8": 4, "pot": 16}
    assert terms["lut_per_mac"] == {"int8": 120, "pot": 30}


def test_row_with_dsps():
    found = row(result("quant8", "dsp2", pes=16, lut=53, ff=70, dsp=8))
    assert found["lut_equivalent"] == 53 + 8 * 547 and found["ff_equivalent"] == 70 + 8 * 347
    assert found["gops_per_klut"]["int8"] == round(1000 * found["gops"]["int8"] / 4429, 3)
    assert found["lut_per_mac"] == {"int8": round(53 / 16, 2)}
    assert found["paper"] == {
        "lut": None, "ff": None, "dsp": 16, "lut_equivalent": 16 * 547, "ff_equivalent": 16 * 347,
        "lut_per_pe": None, "ff_per_pe": None}


def test_tables():
    rows = [row(result()), row(result("quant8", "dsp2", dsp=8)),
            row(result("doubleqext", "booth", pes=9, lut=500))]
    rows[0]["off"] = {"lut": -0.0123, "delay_ns": 0.02}
    content = {"device": "xc7a100t", "yosys": "Yosys 0.70", "rows": rows,
               "files": ["area.json", "area.md", "a.svg"]}
    areas, speeds = (dict(zip(["merged", "dsp2", "booth"], table.rows, strict=True))
                     for table in tables(content))
    assert areas["merged"] == ("doubleq", "merged", "1x16", 500, 250, 0, 31.25, 53.9, 15.62, 29.0,
                               None, 31.25, 500, 862.4)
    assert areas["dsp2"][1] == "dsp2, DSPs" and areas["dsp2"][7] is None
    # The 1020 LUTs of Table 8, not a multiple of those of one PE.
    assert areas["booth"][7] == 113.33
    assert speeds["merged"][3:] == (
        "200 (150 to 250)", None, 6.4, None, 12.8, "−1.2", "+2.0", 1.5, 100)
    text = markdown(content)
    assert "| doubleq | merged | 1x16 | 500 | 250 | 0 | 31.25 | 53.90 |" in text
    assert "by Yosys 0.70" in text and "![a.svg](a.svg)" in text and "SegLog" in text


def test_bench(inline, tmp_path):
    """What a structure does not exist for is left out; a second run does nothing and gives the same
    bytes."""
    options = {"layouts": "1x4,2x4", "structures": ("dsp2", "merged")}
    found = bench_area(tmp_path, inline, **options)
    assert [(entry["parameters"]["structure"], entry["parameters"]["slices"])
            for entry in found["rows"]] == [("dsp2", 2), ("merged", 1), ("merged", 2)]
    assert json.loads((tmp_path / "area.json").read_text()) == found
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*found["files"], "jobs"])
    before = {name: (tmp_path / name).read_bytes() for name in found["files"]}

    def idle(function, waiting):
        assert not waiting
        yield from ()

    assert bench_area(tmp_path, jobs.Executor(idle), **options) == found
    assert before == {name: (tmp_path / name).read_bytes() for name in found["files"]}


@pytest.mark.parametrize(("options", "message"), [
    ({"structures": ("magic",)}, "structures must be some of paper, .*, not magic"),
    ({"structures": ()}, "not none"),
    ({"device": "xc7z"}, "device must be one of"),
    ({"layouts": "9", "structures": ("dsp2",)}, "none of the structures dsp2 exists for 9"),
    ({"structures": ("merged",), "model": "file"}, "model is of all structures, not only merged")])
def test_bad_input(inline, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        bench_area(tmp_path / "out", inline, **options)
    assert not list(tmp_path.iterdir())


def test_file_in_the_way(inline, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is a file"):
        bench_area(tmp_path / "file", inline, layouts="9", structures=("merged",))
