import pytest
from test_tables import content

from benchmarks import plots
from models import formats


def drawable(**options):
    whole = content(**options)
    for entry in whole["rows"][1:3]:
        name = "int8" if entry["name"] == "Quant8" else "pot5"
        entry |= {"kind": "integer", "weights": {
            name: list(range(1, len(formats.get(name).values) + 1))}}
    whole["searches"][0]["losses"] = [["stem", "pot5", 0.02], ["conv1", "pot5", 0.01],
                                      ["stem", "int8", 0.0], ["conv1", "int8", 0.0]]
    whole["ranges"] = [{"layer": name, "low": -1.0, "high": 2.0, "quantiles": [-0.5, 1.5],
                        "represented": [-0.9, 1.9]} for name in ("stem", "conv1")]
    return whole


def test_all_plots():
    drawn = plots.draw(drawable())
    assert sorted(drawn) == ["accuracy_memory.svg", "ranges.svg", "sensitivity.svg", "weights.svg"]
    assert drawn == plots.draw(drawable())
    for name in ("sensitivity.svg", "ranges.svg"):
        assert ">conv1</text>" in drawn[name]
    assert ">DoubleQ as published</text>" in drawn["weights.svg"]
    assert ">Algorithm 1</text>" in drawn["accuracy_memory.svg"]


@pytest.mark.parametrize(("options", "drawn"), [
    ({}, True), ({"model": "resnet8"}, False), ({"quant8": 100.0}, False)])
def test_papers_points_are_drawn_for_its_network_only(options, drawn):
    text = plots.draw(drawable(**options))["accuracy_memory.svg"]
    assert ("the paper, whole test set" in text) == drawn


def test_no_sensitivity_without_such_a_search():
    whole = drawable()
    del whole["searches"][0]["losses"]
    assert "sensitivity.svg" not in plots.draw(whole)
