import report

CORE = {
    "scheme": "doubleq", "structure": "merged", "pes": 16, "top": "core_<1>",
    "images": [{"label": 4, "class": 4, "logit": 90, "cycles": 303},
               {"label": 0, "class": 7, "logit": 80, "cycles": 303}],
    "logits": 20, "mismatches": 0,
    "schedule": {
        "image_cycles": 303, "utilization": 61.5,
        "memory": {"weight_bits": 8000, "activation_bits": 16000, "depth": 16},
        "layers": [
            {"name": "stem", "kind": "conv", "format": "pot5", "macs": 400, "cycles": 100,
             "utilization": 25.0},
            {"name": "conv", "kind": "conv", "format": "pot5", "macs": 2880, "cycles": 202,
             "utilization": 89.1}],
        "tensors": [{"name": "input", "base": 0, "size": 8, "layers": [0, 1]},
                    {"name": "stem", "base": 8, "size": 4, "layers": [0, 1]}]},
}


def test_core_sections():
    """Table of images, time chart and memory map."""
    text = "\n".join(report.core_sections(CORE))
    assert "core_&lt;1&gt;, structure merged, takes 303 cycles an image" in text
    assert "classified 1 of 2 images right; 0 mismatches in 20 logits" in text
    assert text.count("<svg") == 2
    assert text.count("<tr>") == 2 * 3
    assert "61.5 % of the multiplications" in text
    assert "2.00 kB; the input" in text and "Weights: 1.00 kB" in text
