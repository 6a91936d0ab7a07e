"""Multiplication in LUTs: pipelined rows of Booth digits."""

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed

__all__ = ["multiply", "multiply_latency"]

ROWS_OF_A_STAGE = 2


def _rows(y: Shape) -> int:
    """Radix-4 digits of a number."""
    return y.width // 2 + 1 if not y.signed else -(-y.width // 2)


def multiply_latency(y: Shape) -> int:
    """Cycles that :func:`multiply` takes, which only the second factor decides."""
    return -(-_rows(y) // ROWS_OF_A_STAGE)


def multiply(m: Module, name: str, x: Value, y: Value, *, dsp: bool = False) -> Value:
    """The product ``x · y``, :func:`multiply_latency` cycles later; takes factors in every cycle.

    A row adds −2, −1, 0, 1 or 2 times x for each radix-4 digit of y (MacSorley, *High-Speed
    Arithmetic in Binary Computers*, 1961), in one LUT a bit.

    Parameters
    ----------
    name : :class:`str`
        Of its signals.
    x : :class:`Value`
        Signed.
    y : :class:`Value`
        Signed or not.
    dsp : :class:`bool`
        Whether synthesis is told to use DSP blocks instead.
    """
    rows = _rows(y.shape())

    def kept(value: Value, what: str, **attrs: str) -> Signal:
        register = Signal(value.shape(), name=f"{name}_{what}", reset_less=True, attrs=attrs)
        m.d.sync += register.eq(value)
        return register

    if dsp:
        product: Value = x * y
        for stage in range(multiply_latency(y.shape())):
            product = kept(product, f"product_{stage}", use_dsp="yes")
        return product
    sign = y[-1] if y.shape().signed else Const(0, 1)
    digits: Value = Cat(Const(0, 1), y, sign.replicate(2))
    settled: Value = Const(0, 0)
    total: Value = Const(0, signed(1))
    for row in range(rows):
        low, high, negative = digits[:3]
        two = Mux(negative, ~(high | low), high & low)
        multiple = Mux(high ^ low, x, Mux(two, x << 1, 0))
        addend = Signal(signed(len(x) + 1), name=f"{name}_addend_{row}")
        added = Signal(signed(len(x) + 3), name=f"{name}_row_{row}")
        m.d.comb += [
            addend.eq(Mux(negative, ~multiple, multiple)),
            # The lowest bits are there for the carry that completes the negation.
            added.eq(Cat(Const(1, 1), total).as_signed() + Cat(negative, addend).as_signed()),
        ]
        settled, total, digits = Cat(settled, added[1:3]), added[3:].as_signed(), digits[2:]
        if row % ROWS_OF_A_STAGE == ROWS_OF_A_STAGE - 1 or row == rows - 1:
            settled, total = kept(settled, f"settled_{row}"), kept(total, f"total_{row}")
            if row < rows - 1:
                x, digits = kept(x, f"x_{row}"), kept(digits, f"digits_{row}")
    return Cat(settled, total).as_signed()
