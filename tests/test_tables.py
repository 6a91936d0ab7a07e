from benchmarks.tables import DOUBLEQ_AS_PUBLISHED, FLOAT, QUANT8, is_papers, markdown, tables


def row(name, kilobytes, points, *, search=None, kind="integer"):
    return {"name": name, "kind": kind, "search": search, "conv_bytes": 1000 * kilobytes,
            "full_bytes": None if kind == FLOAT else 1500 * kilobytes,
            "times_float32": 1081.04 / kilobytes, "times_int8": 270.26 / kilobytes,
            "seconds": None if kind == FLOAT else 1.5, "peak_memory_mb": None,
            "weights": None, "formats": None,
            "accuracy": [{"top1": 90.0, "top1_error": 1.34, "top5": 99.0, "top5_error": 0.4,
                          "against_quant8": {"points": points, "standard_error": 0.25,
                                             "images": round(5 * points)},
                          "divergence": None if kind == FLOAT else 0.01234, "agreement": 97.0}]}


def content(model="resnet20", quant8=270.26):
    return {"model": model, "checkpoint": "net.pt", "checkpoint_sha256": "0123456789abcdef" * 4,
            "calibration_images": 1500, "selection_images": 500,
            "data": [{"name": "cifar10", "images": 500}],
            "rows": [row(FLOAT, 1081.04, 0.2, kind=FLOAT), row(QUANT8, quant8, 0.0),
                     row(DOUBLEQ_AS_PUBLISHED, 168.91, -7.4),
                     row("curve, 170 kB", 170.0, -6.0, search="Algorithm 1"),
                     row("curve, 200 kB", 200.0, -2.0, search="Algorithm 1")],
            "searches": [{"name": "Algorithm 1", "on": "training images", "images": 500,
                          "evaluations": 42, "macs_reused": 0.375,
                          "cost": {"seconds": 60.0, "peak_memory_mb": 500.0}}],
            "compression": [{"packing": "dense", "bytes": 168912.5, "times_float32": 6.4,
                             "paper": 6.4},
                            {"packing": "u16x3", "bytes": 180200, "times_float32": 6.0,
                             "paper": 6.0}],
            "files": ["accuracy.json", "accuracy.md", "weights.svg"]}


def test_paper_figures_stand_beside_the_papers_network():
    beside = tables(content())[1]
    rows = {(name, size): rest for name, size, *rest in beside.rows}
    assert rows["float", None] == [None, FLOAT, 1081.04, "+0.20 ± 0.25"]
    assert rows["Quant8", 270.26] == ["+0.00", QUANT8, 270.26, "+0.00 ± 0.25"]
    assert rows["DoubleQ", 168.91] == ["−7.28", DOUBLEQ_AS_PUBLISHED, 168.91, "−7.40 ± 0.25"]
    # The largest of the curve that takes no more memory.
    assert rows["DoubleQExt", 173.39][:2] == [None, "curve, 170 kB"]
    assert rows["DoubleQExt", 207.95][:2] == ["−1.19", "curve, 200 kB"]
    assert len(beside.rows) == 3 + 5


def test_another_network_has_dashes():
    """A model that the paper does not have, or its name with another size."""
    for other in (content("resnet8"), content("resnet20", quant8=100.0)):
        assert not is_papers(other)
        for _, size, points, *_ in tables(other)[1].rows:
            assert (size, points) == (None, None)
        assert "92.96" not in markdown(other)


def test_resnet56_has_memory_only():
    other = content("resnet56", quant8=850.86)
    assert is_papers(other)
    rows = {name: (size, points) for name, size, points, *_ in tables(other)[1].rows}
    assert rows == {"float": (None, None), "Quant8": (850.86, None), "DoubleQ": (531.79, None)}


def test_markdown():
    text = markdown(content())
    assert "| Quant8 | 270.26 | 90.00 ± 1.34 | 99.00 ± 0.40 | +0.00 ± 0.25 | +0 | 0.0123 |" in text
    assert "| DoubleQ as published | 168.91 | 90.00 ± 1.34 | 99.00 ± 0.40 | −7.40 ± 0.25 | −37 |" \
        in text
    assert "| float | 1,081.04 | 1.00 | 0.25 | — | — | — |" in text
    assert "| SegLog | — | — | — |" in text
    assert "| DoubleQ, u16x3 | 180200 | 6.00 | 6.00 |" in text
    assert "| Algorithm 1 | training images | 500 | 42 | 37.50 | 60.00 | 500.00 |" in text
    assert "first\n1500 training images calibrate and the last 500 select" in text
    assert "![weights.svg](weights.svg)" in text
    assert "accuracy.json" not in text


def test_no_search():
    plain = {**content(), "searches": []}
    assert [table.title for table in tables(plain)] == [
        table.title for table in tables(content())][:-1]
