"""Balanced adder tree."""

import functools
import itertools
import operator
from collections.abc import Sequence
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["TREES", "AdderTree"]

TREES = ("binary", "ternary")


class AdderTree(wiring.Component):
    """Sum of any number of terms, by pairs, then pairs of pairs.

    Accepts new terms in every cycle. Each intermediate sum is exactly as wide as the ranges of the
    terms below it require.

    Parameters
    ----------
    ranges : sequence of :class:`range`
        Values of each term.
    pipeline : :class:`int`
        Adder levels between registers: 1 puts a register after every level, 0 none at all. The
        levels after the last register are combinational.

    Attributes
    ----------
    levels : :class:`int`
        Adders on the longest path.
    latency : :class:`int`
        Cycles from the terms to their sum.
    range : :class:`range`
        Values of the sum.

    Members
    -------
    terms : :py:`In(ArrayLayout(range, len(ranges)))`
        Terms, of a range that fits them all.
    sum : :py:`Out(range)`
        Sum.

    Raises
    ------
    :exc:`ValueError`
        If there is no term, a range is empty, or ``pipeline`` is negative.
    """

    def __init__(self, *, ranges: Sequence[range], pipeline: int) -> None:
        if not ranges:
            raise ValueError("AdderTree ranges must have at least one term, found none")
        for values in ranges:
            if values.step != 1 or not values:
                raise ValueError(f"AdderTree range must be contiguous and not empty, not {values}")
        if type(pipeline) is not int or pipeline < 0:
            raise ValueError(
                f"AdderTree pipeline must be a non-negative integer, not {pipeline!r}")
        self.ranges = tuple(ranges)
        self.pipeline = pipeline
        self.levels = (len(ranges) - 1).bit_length()
        self.latency = self.levels // pipeline if pipeline else 0
        self.range = _sum(self.ranges)
        runs = [f"{len(list(run))}_{values[0]}_{values[-1]}".replace("-", "m")
                for values, run in itertools.groupby(ranges)]
        self.module_name = "_".join(["adder_tree", *runs, f"p{pipeline}"])
        widest = range(min(values[0] for values in ranges), max(r[-1] for r in ranges) + 1)
        super().__init__({
            "terms": In(data.ArrayLayout(widest, len(ranges))),
            "sum": Out(self.range),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        ranges: Sequence[range] = self.ranges
        terms = [Signal(values, name=f"term_{k}") for k, values in enumerate(ranges)]
        m.d.comb += [term.eq(self.terms[k]) for k, term in enumerate(terms)]
        for level in range(1, self.levels + 1):
            registered = self.pipeline and level % self.pipeline == 0
            domain = m.d.sync if registered else m.d.comb
            ranges = [_sum(ranges[k:k + 2]) for k in range(0, len(ranges), 2)]
            sums = [Signal(values, name=f"sum_{level}_{k}", reset_less=True)
                    for k, values in enumerate(ranges)]
            for k, total in enumerate(sums):
                domain += total.eq(functools.reduce(operator.add, terms[2 * k:2 * k + 2]))
            terms = sums
        m.d.comb += self.sum.eq(terms[0])
        return m


def _sum(ranges: Sequence[range]) -> range:
    """Values of a sum of terms."""
    return range(sum(values[0] for values in ranges), sum(values[-1] for values in ranges) + 1)
