import pytest
from test_area import result

from benchmarks import area_plots
from benchmarks.area import row
from benchmarks.area_plots import front


@pytest.mark.parametrize(("points", "expected"), [
    ([(1, 1)], [(1, 1)]),
    ([(2, 2), (1, 1), (3, 3)], [(1, 1), (2, 2), (3, 3)]),
    # As small and slower, larger and as fast, larger and slower, the same again.
    ([(1, 2), (1, 1), (2, 2), (3, 1), (1, 2)], [(1, 2)]),
    ([(5, 9), (1, 1), (4, 9), (2, 0.5)], [(1, 1), (4, 9)]),
])
def test_front(points, expected):
    assert front(points) == expected


ROWS = [row(result(scheme, structure, pes=pes, lut=lut * pes, dsp=dsp * pes, fmax=fmax))
        for pes in (16, 64)
        for scheme, structure, lut, dsp, fmax in [
            ("quant8", "booth", 40, 0, 150.0), ("quant8", "dsp2", 3, 0.5, 200.0),
            ("doubleq", "merged", 28, 0, 180.0), ("doubleqext", "dual", 60, 0, 160.0)]]


def test_drawn():
    drawn = area_plots.draw(ROWS)
    assert sorted(drawn) == ["area_lut_per_pe.svg", "area_throughput.svg"]
    assert drawn == area_plots.draw(ROWS)
    bars = drawn["area_lut_per_pe.svg"]
    # Those of most PEs alone, with DSPs beside the LUTs.
    assert ">64 PEs</text>" in bars and bars.count(">28.0</text>") == 1
    assert ">3.0 + 0.5 DSP</text>" in bars and ">dsp2, DSPs</text>" in bars
    assert ">the paper</text>" in bars
    lines = drawn["area_throughput.svg"]
    assert ">8-bit weights</text>" in lines and ">weights that are powers of two</text>" in lines
    assert lines.count(">Pareto front</text>") == 2
    assert lines.count(">doubleqext dual</text>") == 2
    assert lines.count(">doubleq merged</text>") == 1


def test_one_kind_of_weights():
    text = area_plots.throughput([entry for entry in ROWS
                                  if entry["parameters"]["scheme"] == "doubleq"])
    assert "8-bit" not in text and text.count(">Pareto front</text>") == 1
