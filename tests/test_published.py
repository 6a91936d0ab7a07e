import re
from pathlib import Path

import pytest

from benchmarks import published


@pytest.mark.parametrize(("scheme", "pes", "lut", "ff", "lut_equivalent", "lut_source"), [
    ("doubleq", 512, 27596.8, 14848, 27596.8, "per PE × 512"),
    ("doubleqext", 9, 1020, 252, 1020, "Table 8"),
    ("doubleqext", 1024, 113561.6, 28672, 113561.6, "per PE × 1024"),
    ("quant8", 512, None, None, 547 * 512, "per PE × 512"),
])
def test_published_area(scheme, pes, lut, ff, lut_equivalent, lut_source):
    area = published.area(scheme, pes)
    assert (area.lut, area.ff, area.lut_source) == (lut, ff, lut_source)
    assert area.source == f"per PE × {pes}"
    assert area.lut_equivalent == lut_equivalent
    assert area.dsp == (pes if scheme == "quant8" else 0)


def test_unknown_scheme():
    message = "scheme must be one of quant8, doubleq, doubleqext, not 'float'"
    with pytest.raises(ValueError, match=f"^{message}$"):
        published.area("float", 9)


def test_compare():
    rows = {row["figure"]: row for row in published.compare({
        "parameters": {"scheme": "quant8", "pes": 10},
        "total": {"lut": 53, "ff": 100, "dsp": 10}})}
    assert rows["LUT"] == {"figure": "LUT", "ours": 53, "paper": None, "ours_per_pe": 5.3,
                           "paper_per_pe": None, "ratio": None, "source": None}
    assert rows["LUT, DSPs counted"] == {
        "figure": "LUT, DSPs counted", "ours": 5523, "paper": 5470, "ours_per_pe": 552.3,
        "paper_per_pe": 547, "ratio": 1.01, "source": "per PE × 10"}
    assert rows["FF, DSPs counted"]["ours"] == 3570
    assert rows["DSP"]["ratio"] == 1


def test_published_figures_agree():
    """The figures that are quotients of others."""
    memory = published.MEMORY_KB["resnet20"]
    for scheme, kilobytes in [("doubleq", memory["doubleq"][0]),
                              ("doubleqext", memory["doubleqext"][3])]:
        saved = 100 * (1 - kilobytes / memory["quant8"][0])
        assert saved == pytest.approx(published.MEMORY_SAVED[scheme], abs=0.01)
    for model in published.MEMORY_KB.values():
        assert model["doubleq"][0] == pytest.approx(model["quant8"][0] * 5 / 8, abs=0.01)
    assert published.COMPRESSION == (32 / 5, 32 * 3 / 16)


def test_peers():
    """Each has a speed; what is not known is None."""
    assert {peer.name: (peer.images_per_second, peer.top1) for peer in published.PEERS} == {
        "Tensil, 16 bit": (293.6, None), "NN2FPGA": (7601, 91.3), "FINN": (659, 84.5),
        "hls4ml": (30.1, 83.5)}
    assert [peer.name for peer in published.PEERS if peer.lut] == ["NN2FPGA"]


def test_published_imports_only_the_standard_library():
    imports = re.findall(r"^(?:import|from) (\w+)", Path(published.__file__).read_text(), re.M)
    assert set(imports) == {"dataclasses", "typing"}
