import re

from benchmarks.network_plots import memory_map, time_chart

LAYERS = [
    {"name": "stem", "kind": "conv", "cycles": 100, "utilization": 25.0},
    {"name": "tiny", "kind": "conv", "cycles": 3, "utilization": 10.0},
    {"name": "conv", "kind": "conv", "cycles": 200, "utilization": 90.0},
    {"name": "pool", "kind": "avgpool", "cycles": 100, "utilization": 0.0},
]
TENSORS = [
    {"name": "input", "base": 0, "size": 8, "layers": [0, 3]},
    {"name": "stem", "base": 8, "size": 4, "layers": [0, 2]},
    {"name": "conv", "base": 12, "size": 4, "layers": [2, 3]},
]


def test_time_chart():
    drawn = time_chart(LAYERS, title="a core")
    assert drawn == time_chart(LAYERS, title="a core")
    labels = re.findall(r">([^<>]*)</text>", drawn)
    assert {"a core", "stem, 25 %", "conv, 90 %", "avgpool"} <= set(labels)
    assert not any(label.startswith("tiny") for label in labels)


def test_one_kind_needs_no_legend():
    assert ">conv</text>" not in time_chart(LAYERS[:3])


def test_memory_map():
    drawn = memory_map(LAYERS, TENSORS, 16)
    assert drawn == memory_map(LAYERS, TENSORS, 16)
    assert {">input</text>", ">stem</text>", ">conv</text>"} <= {
        f">{label}</text>" for label in re.findall(r">([^<>]*)</text>", drawn)}
