"""The FPGAs that figures are given for."""

from dataclasses import dataclass

__all__ = ["DEVICES", "Device", "get"]


@dataclass(frozen=True)
class Device:
    """An FPGA and what it has.

    Parameters
    ----------
    name : :class:`str`
        Name, as on the command line.
    part : :class:`str`
        Ordering code with package and speed grade, as Vivado wants it.
    family : :class:`str`
        Name of the family in yosys's ``synth_xilinx``.
    lut, ff, dsp, bram36 : :class:`int`
        Look-up tables, flip-flops, DSP slices and 36 kb block memories.
    delay_scale : :class:`float`
        What the delays of an Artix-7 −1 (:mod:`gen.arcs`) are multiplied by to estimate this
        device's. Half for UltraScale+: the vendor's reports of −1 parts have 93 ps for a register
        (456 on the Artix-7), 245 ps from a LUT through a carry chain (528), 30 ps for eight bits
        of it (228), and nets of 25 to 300 ps; a −2 part is faster.
    """

    name: str
    part: str
    family: str
    lut: int
    ff: int
    dsp: int
    bram36: int
    delay_scale: float


DEVICES = {device.name: device for device in [
    Device("xc7a100t", part="xc7a100tcsg324-1", family="xc7",
           lut=63_400, ff=126_800, dsp=240, bram36=135, delay_scale=1.0),
    Device("xczu9eg", part="xczu9eg-ffvb1156-2-e", family="xcup",
           lut=274_080, ff=548_160, dsp=2_520, bram36=912, delay_scale=0.5),
]}


def get(name: str) -> Device:
    """The device called ``name``.

    Raises
    ------
    :exc:`ValueError`
        If there is none.
    """
    if name not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, not {name!r}")
    return DEVICES[name]
