import pytest

from benchmarks.golden import bench_golden


def test_both_networks_are_timed():
    told = []
    found = bench_golden(model="resnet8", images=5, repeats=2, progress=told.append)
    assert (found["model"], found["images"], found["repeats"]) == ("resnet8", 5, 2)
    assert found["float_seconds"] > 0
    assert found["golden_seconds"] > 0
    assert told == [0.5, 1.0]


@pytest.mark.parametrize(("options", "message"), [
    ({"images": 0}, "images must be at least 1, not 0"),
    ({"repeats": 0}, "repeats must be at least 1, not 0"),
    ({"model": "resnet9"}, "model must be one of"), ({"scheme": "triple"}, "scheme must be one")])
def test_refused(options, message):
    with pytest.raises(ValueError, match=message):
        bench_golden(**options)
