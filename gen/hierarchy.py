"""Verilog in which each distinct component is one module, however often it is placed."""

import collections
import re
from typing import Any

from amaranth import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.back import verilog
from amaranth.lib import wiring

__all__ = ["VerilogPlatform", "place", "ports"]

TOOL_COMMENT = re.compile(r"^/\*.*?\*/\n+", re.DOTALL)
NAME = re.compile(r"\\\S+|\w+")
ASSIGNED = re.compile(r"^  assign (\\\S+|\w+) +=", re.MULTILINE)
DECLARED_OR_ASSIGNED = re.compile(
    r"^(?:  \(\*[^\n]*\*\)\n)?  (?:wire (?:\[\d+:0\] )?|assign )(\\\S+|\w+) *(?:=[^\n]*)?;\n",
    re.MULTILINE)


def place(m: Module, platform: Any, name: str, component: wiring.Component) -> Any:
    """Adds ``component`` to ``m`` as ``name``, and gives the interface to connect it by.

    Under a :class:`VerilogPlatform` this is an instance of the component's module; otherwise, as
    in simulation, it is the component itself. A component that is placed has an attribute
    ``module_name``, and two that have the same name are the same. Only the first of them is
    elaborated then, which is why files that place components silence ``UnusedElaboratable``.
    """
    if isinstance(platform, VerilogPlatform):
        m.submodules[name], interface = platform.instance(component, name)
        return interface
    m.submodules[name] = component
    return component


def ports(interface: Any, signature: wiring.Signature) -> dict[str, tuple[Signal, bool]]:
    """Signals of ``interface`` by their Verilog names, each with whether it is an input.

    Members that are constant, as ``ready`` of a stream that is always ready, are no ports.
    """
    found = {}
    for path, member, value in signature.flatten(interface):
        signal = Value.cast(value)
        if isinstance(signal, Signal):
            found["__".join(map(str, path))] = signal, member.flow == wiring.In
    return found


class VerilogPlatform:
    """Platform under which :func:`place` makes one module of each distinct component.

    Attributes
    ----------
    modules : dict of :class:`str`
        Verilog text of each module by its name, each after those that it instantiates.
    """

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}

    def add(self, component: Any) -> None:
        """Adds the module of ``component``, and those that it instantiates, where missing."""
        name = component.module_name
        if name in self.modules:
            return
        text = verilog.convert(
            component, name=name, platform=self, emit_src=False, strip_internal_attrs=True,
            ports={port: (signal, None) for port, (signal, _)
                   in ports(component, component.signature).items()})
        self.modules[name] = _without_unread(TOOL_COMMENT.sub("", text))

    def declared(self, name: str) -> list[str]:
        """Port names of the module ``name``."""
        return self.modules[name].split("(", 1)[1].split(")", 1)[0].split(", ")

    def instance(self, component: Any, name: str) -> tuple[Instance, Any]:
        """An instance of the component's module, and the interface that it is connected to."""
        self.add(component)
        interface = component.signature.create(path=(name,))
        declared = self.declared(component.module_name)
        connections: list[tuple[str, str, Any]] = [
            ("i" if is_input else "o", port, signal) for port, (signal, is_input)
            in ports(interface, component.signature).items()]
        if "clk" in declared:
            connections.append(("i", "clk", ClockSignal()))
        if "rst" in declared:
            connections.append(("i", "rst", ResetSignal()))
        return Instance(component.module_name, *connections), interface


def _without_unread(text: str) -> str:
    """A module without the wires that are assigned and never read, and without an unread reset.

    Amaranth writes such a wire for every field of a port and for every pin of an instance, for
    waveform viewers: most of the text of an array. It gives a reset to every module with a clock.
    """
    uses = collections.Counter(NAME.findall(text))
    unread = {name for name in ASSIGNED.findall(text) if uses[name] == 2}
    text = DECLARED_OR_ASSIGNED.sub(lambda match: "" if match[1] in unread else match[0], text)
    if uses["rst"] == 3:  # in the header, as an input and as a wire
        text = re.sub(r", rst\b|\brst, |^  (?:input|wire) rst;\n", "", text, flags=re.MULTILINE)
    return text
