"""Waveforms: from the VCD that Verilator writes to the far smaller FST that viewers open.

Verilator's own FST writer needs headers of lz4 and zlib on the machine; this needs a wheel.
"""

from pathlib import Path

__all__ = ["vcd_to_fst"]


def vcd_to_fst(vcd: Path, fst: Path) -> None:
    """Writes the waveform in the file ``vcd``, as Verilator writes it (IEEE 1364, clause 18, one
    command a line), to the file ``fst``.

    Raises
    ------
    :exc:`OSError`
        If ``fst`` cannot be written.
    """
    from pylibfst import ffi, lib

    context = lib.fstWriterCreate(str(fst).encode(), 1)
    if context == ffi.NULL:
        raise OSError(f"cannot write {fst}")
    signals: dict[str, tuple[int, int]] = {}
    try:
        with vcd.open() as lines:
            for line in lines:
                match line.split():
                    case ["$timescale", scale, "$end"]:
                        lib.fstWriterSetTimescaleFromString(context, scale.encode())
                    case ["$scope", _, *name, "$end"]:
                        lib.fstWriterSetScope(context, lib.FST_ST_VCD_MODULE,
                                              " ".join(name).encode(), ffi.NULL)
                    case ["$upscope", "$end"]:
                        lib.fstWriterSetUpscope(context)
                    case ["$var", _, size, code, *name, "$end"]:
                        alias, _ = signals.get(code, (0, 0))
                        handle = lib.fstWriterCreateVar(
                            context, lib.FST_VT_VCD_WIRE, lib.FST_VD_IMPLICIT, int(size),
                            " ".join(name).encode(), alias)
                        signals.setdefault(code, (handle, int(size)))
                    case [change] if change[0] == "#":
                        lib.fstWriterEmitTimeChange(context, int(change[1:]))
                    case [change] if change[0] in "01xz":
                        lib.fstWriterEmitValueChange(context, signals[change[1:]][0],
                                                     change[0].encode())
                    case [value, code] if value[0] == "b":
                        handle, width = signals[code]
                        fill = "x" if value[1] in "xz" else "0"
                        lib.fstWriterEmitValueChange(context, handle,
                                                     value[1:].rjust(width, fill).encode())
    finally:
        lib.fstWriterClose(context)
