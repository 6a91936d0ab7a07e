"""The paper's published figures, and those of others' accelerators, as far as they are known here.

See et al., *DoubleQExt: Hardware and Memory Efficient CNN Through Two Levels of Quantization*,
IEEE Access 9, 2021. Areas are Vivado's on an Artix-7, with everything in the array counted; memory
is that of the convolution weights, 1 kB = 1000 bytes. A figure that is not known is None, never a
guess.
"""

from dataclasses import dataclass
from typing import Any

__all__ = ["ACCURACY_LOSS", "AREA_PER_PE", "COMPRESSION", "DSP_FF", "DSP_LUT", "INT8_SHARE",
           "LAYOUT_LUT", "MEMORY_KB", "MEMORY_SAVED", "NOTE", "OTHERS_COMPRESSION", "PEERS",
           "RESNET20_CURVE", "RESNET20_FLOAT", "Area", "Peer", "area", "compare"]

NOTE = ("Ours are post-synthesis figures of an open tool, yosys; the paper's are Vivado's. "
        "They show the size of a difference, not its last digit.")

DSP_LUT, DSP_FF = 547, 347
"""LUTs and flip-flops that one DSP counts as (Table 6)."""

AREA_PER_PE: dict[str, dict[str, float]] = {
    "quant8": {"dsp": 1},
    "doubleq": {"lut": 53.9, "ff": 29, "dsp": 0},
    "doubleqext": {"lut": 110.9, "ff": 28, "dsp": 0},
}
"""Area of one PE with its share of everything in the array. The paper's layouts have 9, 512 and
1024 PEs (Tables 6, 8 and 9). Quant8's LUTs and flip-flops beside its DSPs are not known."""

LAYOUT_LUT = {("doubleqext", 9): 1020}
"""LUTs of whole arrays, where known, by scheme and PEs (Table 8)."""

RESNET20_FLOAT = 92.96
"""Top-1 accuracy of the float ResNet-20 on CIFAR-10's test set, in percent."""

ACCURACY_LOSS = {"doubleq": 7.28, "doubleqext": 1.19}
"""Top-1 accuracy that ResNet-20 loses against Quant8, in points (abstract)."""

MEMORY_SAVED = {"doubleq": 37.50, "doubleqext": 23.05}
"""Memory that the same ResNet-20 saves against Quant8, in percent (abstract)."""

INT8_SHARE = 1 - MEMORY_SAVED["doubleqext"] / MEMORY_SAVED["doubleq"]
"""Share of the weights of its DoubleQExt that are 8-bit ones."""

MEMORY_KB: dict[str, dict[str, tuple[float, ...]]] = {
    "mnist": {"float": (21.00,), "quant8": (5.25,), "doubleq": (3.28,)},
    "resnet20": {"quant8": (270.26,), "doubleq": (168.91,),
                 "doubleqext": (173.39, 187.22, 201.04, 207.95, 253.65)},
    "resnet56": {"quant8": (850.86,), "doubleq": (531.79,)},
}
"""Memory in kB (Tables 3 and 4), by model and scheme: one figure, or for DoubleQExt one for each
row of the table."""

RESNET20_CURVE = {
    MEMORY_KB["resnet20"]["quant8"][0]: 0.0,
    MEMORY_KB["resnet20"]["doubleq"][0]: ACCURACY_LOSS["doubleq"],
    MEMORY_KB["resnet20"]["doubleqext"][3]: ACCURACY_LOSS["doubleqext"],
}
"""Top-1 accuracy that ResNet-20 loses against Quant8, in points, by memory in kB."""

COMPRESSION = (6.4, 6.0)
"""Compression ratios of DoubleQ against float (Table 9). They are 32/5, the codes packed densely,
and 32·3/16, three codes to a 16-bit word."""

OTHERS_COMPRESSION: dict[str, float | None] = {"SegLog": None, "BRSLog, 5 bits": 6.4}
"""Compression ratios of segmented logarithmic quantization against float. SegLog's in Table 9 is
not known; that of its authors' later form is theirs (Xu et al., *Base-Reconfigurable Segmented
Logarithmic Quantization*, Journal of Signal Processing Systems 92, 2020)."""


@dataclass(frozen=True)
class Peer:
    """Another accelerator of a network for CIFAR-10's images, as its authors measured it.

    Parameters
    ----------
    name, network, device : :class:`str`
        What it is, what it computes, and the FPGA or board.
    images_per_second : :class:`float`
        Images a second, one at a time or many.
    top1 : :class:`float` or None
        Top-1 accuracy in percent.
    lut, dsp : :class:`float` or None
        LUTs and DSPs.
    """

    name: str
    network: str
    device: str
    images_per_second: float
    top1: float | None = None
    lut: float | None = None
    dsp: float | None = None


PEERS = (
    Peer("Tensil, 16 bit", "ResNet-20", "ZCU104", 293.6),
    Peer("NN2FPGA", "ResNet-20", "KV260", 7601, top1=91.3, lut=65_000, dsp=636),
    Peer("FINN", "CNV-W1A1", "Arty A7-100T", 659, top1=84.5),
    Peer("hls4ml", "RN07", "Arty A7-100T", 30.1, top1=83.5),
)
"""Figures on hardware, on other devices than ours and partly for other networks."""


@dataclass(frozen=True)
class Area:
    """What an array of the paper takes.

    Parameters
    ----------
    lut, ff, dsp : :class:`float` or None
        LUTs, flip-flops and DSPs; None where not known.
    lut_source, source : :class:`str`
        Where the LUTs, and the others, are from: a table, or "per PE × N" where a published figure
        for one PE was multiplied here.
    """

    lut: float | None
    ff: float | None
    dsp: float | None
    lut_source: str = ""
    source: str = ""

    @property
    def lut_equivalent(self) -> float | None:
        """LUTs where each DSP counts as :data:`DSP_LUT`, and LUTs that are not known as none."""
        return None if self.dsp is None else (self.lut or 0) + DSP_LUT * self.dsp

    @property
    def ff_equivalent(self) -> float | None:
        """Flip-flops where each DSP counts as :data:`DSP_FF`, and flip-flops that are not known as
        none."""
        return None if self.dsp is None else (self.ff or 0) + DSP_FF * self.dsp


def area(scheme: str, pes: int) -> Area:
    """The paper's area of an array of ``pes`` PEs.

    Raises
    ------
    :exc:`ValueError`
        If the paper has no such scheme.
    """
    if scheme not in AREA_PER_PE:
        raise ValueError(f"scheme must be one of {', '.join(AREA_PER_PE)}, not {scheme!r}")
    scaled = {kind: round(figure * pes, 1) for kind, figure in AREA_PER_PE[scheme].items()}
    source = lut_source = f"per PE × {pes}"
    if (scheme, pes) in LAYOUT_LUT:
        scaled["lut"], lut_source = LAYOUT_LUT[scheme, pes], "Table 8"
    return Area(scaled.get("lut"), scaled.get("ff"), scaled.get("dsp"), lut_source, source)


def compare(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Sets a synthesis beside the paper's array of as many PEs.

    Parameters
    ----------
    result : :class:`dict`
        What ``gen.synth.synthesize`` returned.

    Returns
    -------
    :class:`list` of :class:`dict`
        One row for each of LUT, FF, DSP, and LUT and FF with each DSP counted as
        :data:`DSP_LUT` and :data:`DSP_FF`: ``figure``, ``ours``, ``paper``, ``ours_per_pe``,
        ``paper_per_pe``, ``ratio`` (ours to the paper's; None where that is not known or 0) and
        ``source`` of the paper's. :data:`NOTE` belongs to the table.
    """
    scheme, pes = result["parameters"]["scheme"], result["parameters"]["pes"]
    paper = area(scheme, pes)
    total = result["total"]
    ours = Area(total["lut"], total["ff"], total["dsp"])

    def row(figure: str, mine: float | None, theirs: float | None, source: str) -> dict[str, Any]:
        assert mine is not None
        return {
            "figure": figure,
            "ours": mine,
            "paper": theirs,
            "ours_per_pe": round(mine / pes, 2),
            "paper_per_pe": None if theirs is None else round(theirs / pes, 2),
            "ratio": round(mine / theirs, 3) if theirs else None,
            "source": None if theirs is None else source,
        }

    return [
        row("LUT", ours.lut, paper.lut, paper.lut_source),
        row("FF", ours.ff, paper.ff, paper.source),
        row("DSP", ours.dsp, paper.dsp, paper.source),
        row("LUT, DSPs counted", ours.lut_equivalent, paper.lut_equivalent, paper.lut_source),
        row("FF, DSPs counted", ours.ff_equivalent, paper.ff_equivalent, paper.source),
    ]
