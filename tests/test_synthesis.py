import importlib.metadata
import json

import pytest

import jobs
from benchmarks import synthesis
from benchmarks.synthesis import label, synthesize_all
from gen import synth
from gen.parameters import ArrayParameters

SMALL = ArrayParameters(scheme="doubleq", slices=1, lanes=1)
TWICE = ArrayParameters(scheme="doubleq", slices=2, lanes=1)


@pytest.fixture
def inline():
    with jobs.executor() as executor:
        yield executor


def test_label():
    assert label(SMALL) == "doubleq paper, 1x1"
    assert label(ArrayParameters(scheme="quant8", slices=2, lanes=4, structure="dsp2", dsp=True)
                 ) == "quant8 dsp2 with DSPs, 2x4"


def test_stored(inline, tmp_path, monkeypatch):
    """A second time nothing is generated or synthesized; each array once, in the given order."""
    moved = []
    first = synthesize_all([SMALL, TWICE, SMALL], "xc7a100t", inline, store=tmp_path,
                           progress=lambda what, share: moved.append((what, share)))
    assert [result["parameters"]["slices"] for result in first] == [1, 2]
    assert moved[0] == ("generating", 0.0) and moved[-1] == ("synthesizing", 1.0)
    assert first[1]["total"]["lut"] > first[0]["total"]["lut"] > 0
    assert set(first[0]["delay_ns"]) == {"register", "input"}
    assert max(first[0]["delay_ns"].values()) == pytest.approx(
        1000 / first[0]["fmax_estimate_mhz"], rel=1e-3)

    def refuse(*arguments, **options):
        raise RuntimeError("nothing is to be done")

    for module, name in [(synth, "synthesize"), (synthesis, "export_array"),
                         (synthesis, "write_array")]:
        monkeypatch.setattr(module, name, refuse)
    assert synthesize_all([TWICE, SMALL], "xc7a100t", inline, store=tmp_path) == first[::-1]
    # An edit, here of what the stored hashes count for: the Verilog is made again, and is the same.
    monkeypatch.undo()
    monkeypatch.setattr(synthesis, "tool_versions", lambda: {"amaranth": "another"})
    monkeypatch.setattr(synth, "synthesize", refuse)
    assert synthesize_all([SMALL], "xc7a100t", inline, store=tmp_path) == first[:1]


@pytest.mark.parametrize("changed", ["device", "tool", "Verilog"])
def test_synthesized_again(inline, tmp_path, monkeypatch, changed):
    """For another device, with another yosys, or of other Verilog."""
    calls = []
    figures = synthesize_all([SMALL], "xc7a100t", inline, store=tmp_path)[0]

    def counted(parameters, device, digest):
        calls.append((device, digest))
        return figures

    counted.__module__, counted.__qualname__ = "benchmarks.synthesis", "_synthesize"
    monkeypatch.setattr(synthesis, "_synthesize", counted)
    synthesize_all([SMALL], "xc7a100t", inline, store=tmp_path)
    assert calls == []
    device, digest = "xc7a100t", figures["verilog_sha256"]
    if changed == "device":
        device = "xczu9eg"
    elif changed == "tool":
        version = importlib.metadata.version
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.0" if name == "pyosys"
                            else version(name))
    else:
        digest = "0" * 64
        monkeypatch.setattr(synthesis, "tool_versions", lambda: {"amaranth": "another"})
        monkeypatch.setattr(synthesis, "export_array",
                            lambda parameters: ("", {"verilog_sha256": digest}))
    synthesize_all([SMALL], device, inline, store=tmp_path)
    assert calls == [(device, digest)]


def test_another_version_elsewhere(inline, tmp_path, monkeypatch):
    """A worker whose code makes other Verilog is noticed."""
    monkeypatch.setattr(synthesis, "_verilog_sha256", lambda parameters: "0" * 64)
    with pytest.raises(ValueError, match=r"^job 'doubleq paper, 1x1 on .*Verilog must have SHA-256 "
                                         r"0{64}, found \w{64}: does the worker"):
        synthesize_all([SMALL], "xc7a100t", inline, store=tmp_path)


def test_unknown_device(inline, tmp_path):
    with pytest.raises(ValueError, match="device must be one of"):
        synthesize_all([SMALL], "xc7z", inline, store=tmp_path)
    assert not list(tmp_path.iterdir())


def test_stored_results_are_json(inline, tmp_path):
    [result] = synthesize_all([SMALL], "xc7a100t", inline, store=tmp_path)
    stored = [json.loads(path.read_text())["result"] for path in tmp_path.iterdir()]
    assert sorted(map(str, stored)) == sorted(map(str, [result, result["verilog_sha256"]]))
