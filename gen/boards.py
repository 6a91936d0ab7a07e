"""The boards that Vivado projects are written for.

``constraints/NAME.xdc`` binds the clock, the reset and the LEDs of each to ports of the same
names; its pins are those of the platform here.
"""

from dataclasses import dataclass
from typing import ClassVar

from amaranth.build import Attrs, Clock, Connector, DiffPairs, Pins, Resource
from amaranth.vendor import XilinxPlatform
from amaranth_boards.arty_a7 import ArtyA7_100Platform
from amaranth_boards.nexys4ddr import Nexys4DDRPlatform
from amaranth_boards.resources import LEDResources

__all__ = ["BOARDS", "Board", "ZCU102Platform", "get"]


class ZCU102Platform(XilinxPlatform):
    """AMD's ZCU102 evaluation board: its programmable logic's 125 MHz clock, the CPU reset button
    (active high) and the user LEDs."""

    device = "xczu9eg"
    package = "ffvb1156"
    speed = "2-e"
    default_clk = "clk125"
    default_rst = "rst"
    resources: ClassVar[list[Resource]] = [
        Resource("clk125", 0, DiffPairs("G21", "F21", dir="i"),
                 Clock(125e6), Attrs(IOSTANDARD="LVDS_25")),
        Resource("rst", 0, Pins("AM13", dir="i"), Attrs(IOSTANDARD="LVCMOS33")),
        *LEDResources(pins="AG14 AF13 AE13 AJ14 AJ15 AH13 AH14 AL12",
                      attrs=Attrs(IOSTANDARD="LVCMOS33")),
    ]
    connectors: ClassVar[list[Connector]] = []


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters
    ----------
    name : :class:`str`
        Name, as on the command line and of its constraints.
    platform : subclass of :class:`~amaranth.vendor.XilinxPlatform`
        Its pins.
    device : :class:`str`
        Name of its FPGA in :data:`gen.devices.DEVICES`.
    clock : :class:`float`
        Frequency of its oscillator, in MHz.
    """

    name: str
    platform: type[XilinxPlatform]
    device: str
    clock: float

    @property
    def part(self) -> str:
        """Ordering code of its FPGA, as Vivado wants it."""
        return self.platform()._part


BOARDS = {board.name: board for board in [
    Board("nexys4ddr", platform=Nexys4DDRPlatform, device="xc7a100t", clock=100.0),
    Board("arty_a7_100", platform=ArtyA7_100Platform, device="xc7a100t", clock=100.0),
    Board("zcu102", platform=ZCU102Platform, device="xczu9eg", clock=125.0),
]}


def get(name: str) -> Board:
    """The board called ``name``.

    Raises
    ------
    :exc:`ValueError`
        If there is none.
    """
    if name not in BOARDS:
        raise ValueError(f"board must be one of {', '.join(BOARDS)}, not {name!r}")
    return BOARDS[name]
