"""The checked-in samples of generated Verilog are what the generator writes today."""

from pathlib import Path

import pytest

from gen.export import write_array
from gen.parameters import ArrayParameters
from models.network import SCHEMES

SAMPLES = Path(__file__).resolve().parent.parent / "rtl_out"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sample(scheme, tmp_path):
    write_array(ArrayParameters(scheme=scheme, slices=2, lanes=3), tmp_path / "new")
    for path in (tmp_path / "new").iterdir():
        assert (SAMPLES / f"sample_{scheme}" / path.name).read_bytes() == path.read_bytes()
