"""Adder trees: many terms to one or two."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gen import xc7
from gen.hierarchy import VerilogPlatform

__all__ = ["TREES", "AdderTree"]

ARITY = {"binary": 2, "ternary": 3}
TREES = tuple(ARITY)


class AdderTree(wiring.Component):
    """Adds any number of terms by twos or threes, then the sums of these, until one is left; a
    ternary tree of an even number of terms leaves two.

    Besides, every adder of *n* terms adds *n* − 1 carries, bits of weight one, for nothing; those
    for which there is no adder are passed on. Accepts new terms in every cycle. Each intermediate
    sum is exactly as wide as the ranges of what is below it require.

    Parameters
    ----------
    ranges : sequence of :class:`range`
        Values of each term.
    carries : :class:`int`
        Carries.
    tree : :class:`str`
        ``binary`` or ``ternary``.
    target : :class:`str`
        ``portable``, or ``xc7``: adders of two and three terms as one LUT a bit and a carry chain.
    pipeline : :class:`int`
        Adder levels between registers: 1 puts a register after every level, 0 none at all. The
        levels after the last register are combinational.

    Attributes
    ----------
    levels : :class:`int`
        Adders on the longest path.
    latency : :class:`int`
        Cycles from the terms to the addends.
    range : :class:`range`
        Values of the sum of addends and carries.
    addend_ranges : tuple of :class:`range`
        Values of each addend.
    carry_count : :class:`int`
        Carries that are left.

    Members
    -------
    terms : :py:`In(ArrayLayout(range, len(ranges)))`
        Terms, of a range that fits them all.
    carries : :py:`In(carries)`
        Carries. Only where there are some.
    addends : :py:`Out(ArrayLayout(range, len(addend_ranges)))`
        Addends, of a range that fits them all.
    carries_left : :py:`Out(carry_count)`
        Carries that are left. Only where there are some.

    Raises
    ------
    :exc:`ValueError`
        If there is no term, a range is empty, a count is negative, or the tree is unknown.
    """

    def __init__(self, *, ranges: Sequence[range], carries: int = 0, tree: str = "binary",
                 target: str = "portable", pipeline: int) -> None:
        if not ranges:
            raise ValueError("AdderTree ranges must have at least one term, found none")
        for values in ranges:
            if values.step != 1 or not values:
                raise ValueError(f"AdderTree range must be contiguous and not empty, not {values}")
        for name, value in [("carries", carries), ("pipeline", pipeline)]:
            if type(value) is not int or value < 0:
                raise ValueError(f"AdderTree {name} must be a non-negative integer, not {value!r}")
        if tree not in TREES:
            raise ValueError(f"AdderTree tree must be one of {', '.join(TREES)}, not {tree!r}")
        self.target, self.pipeline = target, pipeline
        self.input_ranges, self.input_carries = tuple(ranges), carries
        self.plan = _plan(tuple(ranges), carries, ARITY[tree])
        self.levels = len(self.plan)
        self.latency = self.levels // pipeline if pipeline else 0
        last = self.plan[-1] if self.plan else _Level((), tuple(ranges), carries)
        self.addend_ranges, self.carry_count = last.ranges, last.carries
        self.range = _total([*ranges, *[range(2)] * carries])
        runs = [f"{len(list(run))}_{values[0]}_{values[-1]}".replace("-", "m")
                for values, run in itertools.groupby(ranges)]
        self.module_name = "_".join([f"adder_tree_{tree}", *runs, f"c{carries}", f"p{pipeline}"]
                                    + ["xc7"] * (target == "xc7"))
        members = {"terms": In(data.ArrayLayout(_hull(ranges), len(ranges))),
                   "addends": Out(data.ArrayLayout(_hull(self.addend_ranges),
                                                   len(self.addend_ranges)))}
        if carries:
            members["carries"] = In(carries)
        if self.carry_count:
            members["carries_left"] = Out(self.carry_count)
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        mapped = self.target == "xc7" and isinstance(platform, VerilogPlatform)
        terms = [Signal(values, name=f"term_{k}") for k, values in enumerate(self.input_ranges)]
        m.d.comb += [term.eq(self.terms[k]) for k, term in enumerate(terms)]
        carries = list(self.carries) if self.input_carries else []
        for number, level in enumerate(self.plan, 1):
            registered = self.pipeline and number % self.pipeline == 0
            domain = m.d.sync if registered else m.d.comb
            sums = [Signal(values, name=f"sum_{number}_{k}", reset_less=True)
                    for k, values in enumerate(level.ranges)]
            waiting = iter(terms)
            for k, (total, arity) in enumerate(zip(sums, level.arities, strict=True)):
                parts = list(itertools.islice(waiting, arity))
                absorbed, carries = carries[:arity - 1], carries[arity - 1:]
                if mapped and arity > 1:
                    value = xc7.add(m, f"add_{number}_{k}", parts, absorbed, len(total))
                else:
                    value = sum([*parts[1:], *absorbed], parts[0])
                domain += total.eq(value)
            terms = sums
            if carries:
                kept = Signal(len(carries), name=f"carries_{number}", reset_less=True)
                domain += kept.eq(Cat(*carries))
                carries = list(kept)
        m.d.comb += [self.addends[k].eq(term) for k, term in enumerate(terms)]
        if carries:
            m.d.comb += self.carries_left.eq(Cat(*carries))
        return m


@dataclass(frozen=True)
class _Level:
    """What one level of adders does.

    Parameters
    ----------
    arities : tuple of :class:`int`
        Terms that each adder takes, in order; one is passed on.
    ranges : tuple of :class:`range`
        Values of their sums.
    carries : :class:`int`
        Carries that are left.
    """

    arities: tuple[int, ...]
    ranges: tuple[range, ...]
    carries: int


def _plan(ranges: tuple[range, ...], carries: int, arity: int) -> list[_Level]:
    """The levels of a tree."""
    levels = []
    while len(ranges) >= arity:
        whole, rest = divmod(len(ranges), arity)
        arities = (arity,) * whole + (1,) * rest
        waiting, sums = iter(ranges), []
        for terms in arities:
            absorbed = min(carries, terms - 1)
            carries -= absorbed
            sums.append(_total([*itertools.islice(waiting, terms), *[range(2)] * absorbed]))
        ranges = tuple(sums)
        levels.append(_Level(arities, ranges, carries))
    return levels


def _total(ranges: Sequence[range]) -> range:
    """Values of a sum of terms."""
    return range(sum(values[0] for values in ranges), sum(values[-1] for values in ranges) + 1)


def _hull(ranges: Sequence[range]) -> range:
    """Values of an element of an array."""
    return range(min(values[0] for values in ranges), max(values[-1] for values in ranges) + 1)
