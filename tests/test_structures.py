from gen.structures import STRUCTURES
from models import formats
from models.network import SCHEMES


def test_the_reference_takes_everything():
    assert tuple(STRUCTURES["paper"].ENCODINGS) == SCHEMES
    assert set(STRUCTURES["paper"].ENCODINGS["doubleqext"]) == set(formats.FORMATS)
    for structure in STRUCTURES.values():
        for scheme, encodings in structure.ENCODINGS.items():
            assert set(encodings) == set(STRUCTURES["paper"].ENCODINGS[scheme])
