# amaranth: UnusedElaboratable=no
"""Array: slices in parallel on one vector of activations."""

from typing import Any

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gen.hierarchy import place
from gen.parameters import ArrayParameters
from gen.slice import Slice
from gen.structures import STRUCTURES

__all__ = ["Array"]


class Array(wiring.Component):
    """Computes ``acc[s] = Σ w[s][k] · x[k]`` over the lanes *k* of all vectors from the one with
    ``first`` to the one with ``last`` (DESIGN.md section 3, without b'). Where a lane takes several
    activations, or a weight several passes, ``gen.dot.DotProduct`` tells what w · x is.

    Accepts a vector in every cycle, also the first of one accumulation right after the last of
    another. Where ``last`` is sampled with ``i.valid`` at clock edge *t*, ``o.valid`` is high at
    edge *t* + :attr:`latency`, for that one edge. Neither stream can be stalled. Accumulators do
    not saturate: they must be as wide as the layer requires (``gen.export``).

    Parameters
    ----------
    parameters : :class:`ArrayParameters`
        The knobs.

    Attributes
    ----------
    latency : :class:`int`
        Cycles from the last vector to the sums.

    Members
    -------
    i : :py:`In(stream.Signature(StructLayout({...}), always_ready=True))`
        Vectors: activations ``x`` ([lanes · ACTIVATIONS], signed 8 bits), words of the weights
        ``w`` ([slices, lanes]), where the encodings have one the ``mode`` bit of these weights,
        ``first`` and ``last``.
    o : :py:`Out(stream.Signature(StructLayout({...}), always_ready=True))`
        Accumulators ``acc`` ([slices], signed).

    Raises
    ------
    :exc:`ValueError`
        If the accumulators cannot hold the sums of one vector.
    """

    def __init__(self, parameters: ArrayParameters) -> None:
        self.parameters = parameters
        slices, lanes, scheme = parameters.slices, parameters.lanes, parameters.scheme
        self.module_name = f"array_{scheme}_{slices}x{lanes}"
        dots = [STRUCTURES[parameters.structure](
            scheme=scheme, lanes=lanes, tree=parameters.tree, target=parameters.target,
            dsp=parameters.dsp, pipeline=parameters.pipeline)
            for _ in range(slices // parameters.sums)]
        self.slices = [Slice(dot=dot, accumulator_bits=parameters.accumulator_bits,
                             target=parameters.target) for dot in dots]
        self.latency = self.slices[0].latency
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({
                "x":     data.ArrayLayout(signed(8), lanes * dots[0].ACTIVATIONS),
                "w":     data.ArrayLayout(data.ArrayLayout(dots[0].weight_shape, lanes), slices),
                **({"mode": 1} if "mode" in dots[0].signature.members else {}),
                "first": 1,
                "last":  1,
            }), always_ready=True)),
            "o": Out(stream.Signature(data.StructLayout({
                "acc": data.ArrayLayout(signed(parameters.accumulator_bits), slices),
            }), always_ready=True)),
        })

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        payload = self.i.payload

        # The slices' data registers never stop: only these say which of their sums count.
        valid, first, last = self.i.valid, payload.first, payload.last
        for stage in range(1, self.latency):
            delayed = (Signal(name=f"valid_{stage}"),
                       Signal(name=f"first_{stage}", reset_less=True),
                       Signal(name=f"last_{stage}", reset_less=True))
            m.d.sync += [register.eq(source)
                         for register, source in zip(delayed, (valid, first, last), strict=True)]
            valid, first, last = delayed
        m.d.sync += self.o.valid.eq(valid & last)

        sums = self.parameters.sums
        for k, component in enumerate(self.slices):
            part = place(m, platform, f"slice_{k}", component)
            m.d.comb += [
                part.x.eq(payload.x),
                part.enable.eq(valid),
                part.first.eq(first),
            ]
            if "mode" in payload.shape().members:
                m.d.comb += part.mode.eq(payload.mode)
            for n in range(sums):
                m.d.comb += part.w[n].eq(payload.w[k * sums + n])
                m.d.comb += self.o.payload.acc[k * sums + n].eq(part.acc[n])
        return m
