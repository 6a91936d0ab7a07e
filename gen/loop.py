"""Loops in hardware: counters that know when they are in their last step."""

from amaranth import Module, Signal, Value

__all__ = ["loop"]


def loop(m: Module, name: str, count: Value, *, start: Value, advance: Value
         ) -> tuple[Signal, Signal]:
    """A loop that begins again after its last step.

    That a step is the last one is known from a register, so that the end of loops within loops
    takes no comparison.

    Parameters
    ----------
    name : :class:`str`
        Of its signals.
    count : :class:`Value`
        Steps, at least 1; stable from ``start`` on.
    start : :class:`Value`
        Whether the first step comes next.
    advance : :class:`Value`
        Whether a step ends.

    Returns
    -------
    pair of :class:`Signal`
        The step, from 0, and whether the last one ends.
    """
    step = Signal(len(count), name=name, reset_less=True)
    last, ends = Signal(name=f"{name}_last", reset_less=True), Signal(name=f"{name}_ends")
    m.d.comb += ends.eq(last & advance)
    with m.If(start | ends):
        m.d.sync += [step.eq(0), last.eq(count == 1)]
    with m.Elif(advance):
        m.d.sync += [step.eq(step + 1), last.eq(step + 2 == count)]
    return step, ends
