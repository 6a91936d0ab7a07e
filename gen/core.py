# amaranth: UnusedElaboratable=no
"""Core: the accelerator of a whole network."""

from typing import Any

from amaranth import Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.activations import ActivationMemory
from gen.array import Array
from gen.build_schedule import make_schedule
from gen.core_parameters import CoreParameters
from gen.hierarchy import place
from gen.index_shape import index_shape
from gen.loader import WORD, Loader
from gen.logits import LOGITS, LogitsBuffer
from gen.operands import Operands
from gen.program import make_program
from gen.receiver import PIXEL, Receiver
from gen.requantizer import RequantizerRanges
from gen.sequencer import Sequencer, command_layout
from gen.structures import STRUCTURES
from gen.weights import WeightMemory
from gen.writer import Writer
from models.network import Network

__all__ = ["Core"]


class Core(wiring.Component):
    """Takes images and gives logits, bit-exact with ``models.golden``.

    While it computes an image, it receives the next. The layers run as ``gen.schedule`` says, the
    next one once the last word of the one before is written.

    Parameters
    ----------
    network : :class:`Network`
        The artefact.
    parameters : :class:`CoreParameters`
        The knobs.
    ranges : :class:`RequantizerRanges` or None
        Of the requantizers, where not those that the network needs, and a bit more where weights
        are loaded.

    Attributes
    ----------
    schedule : :class:`gen.schedule.Schedule`
        What it does.
    layer_cycles : dict of :class:`int`
        Cycles of each layer.
    image_cycles : :class:`int`
        Cycles of an image, once it is there and where logits never wait.
    latency : :class:`int`
        Cycles from the first byte of an image to its last logit, where nothing waits.
    contents : dict of :class:`gen.loader.Content`
        What the memories of weights, by format, and ``constants``, biases and multipliers, hold, in
        the order of loading.

    Members
    -------
    pixels : :py:`In(stream.Signature(PIXEL))`
        Images, a byte at a time: rows, columns, then channels.
    logits : :py:`Out(stream.Signature(LOGITS))`
        Logits of each image, in order of the classes.
    enable : :py:`In(1)`
        Whether an image that is there is computed.
    busy : :py:`Out(1)`
        Whether one is being computed.
    done : :py:`Out(1)`
        High for the cycle in which an image's last logit is known.
    cycles : :py:`Out(32)`
        Cycles that the last image took.
    short, long : :py:`Out(1)`
        As of :class:`gen.receiver.Receiver`.
    load : :py:`In(stream.Signature(WORD))`
        Words for the memories, taken between images and before the next one; this and what
        follows only where weights are loaded.
    loaded : :py:`Out(1)`
        As of :class:`gen.loader.Loader`; images wait until it is high.
    load_error : :py:`Out(1)`
        Its ``error``: the last load had too few words, too many, or a wrong CRC.

    Raises
    ------
    :exc:`ValueError`
        If a layer cannot be mapped: its name and why; or if ``ranges`` do not suffice.
    """

    def __init__(self, network: Network, parameters: CoreParameters, *,
                 ranges: RequantizerRanges | None = None) -> None:
        self.network, self.parameters = network, parameters
        self.arrays = [Array(parameters.array) for _ in range(parameters.groups)]
        self.schedule = make_schedule(network, parameters, latency=self.arrays[0].latency)
        schedule, self.program = self.schedule, make_program(self.schedule)
        load = parameters.weights == "load"
        needed = self.program.requantizer
        # A bit more than this network needs, for those that are loaded in its place.
        self.ranges = ranges or needed.widened(1 if load else 0)
        self.ranges.check(needed)
        self.op = self.program.layout
        self.parts = parameters.wide // parameters.channels
        banks, depth = schedule.banks, schedule.depth
        structure = STRUCTURES[parameters.array.structure]
        self.command = command_layout(
            banks=banks, groups=parameters.groups, depth=depth, parts=self.parts,
            rows=max(map(len, schedule.weights.values())),
            passes=max(operation.passes for operation in schedule.operations))
        self.sequencer = Sequencer(op=self.op, command=self.command, banks=banks,
                                   groups=parameters.groups, parts=self.parts, depth=depth)
        self.memory = ActivationMemory(banks=banks, depth=depth, parts=self.parts,
                                       bits=8 * parameters.channels, sources=parameters.groups)
        self.weights = WeightMemory(
            content=schedule.weights,
            encodings=structure.ENCODINGS[parameters.array.scheme],
            shape=self.arrays[0].slices[0].dot.weight_shape, load=load)
        self.writer = Writer(
            op=self.op, ranges=self.ranges, groups=parameters.groups,
            channels=parameters.channels, requantizers=parameters.requantizers, parts=self.parts,
            banks=banks, depth=depth, accumulator_bits=parameters.array.accumulator_bits,
            biases=schedule.biases, multipliers=schedule.multipliers, load=load,
            dsp=parameters.array.dsp)
        self.operands = Operands(op=self.op, command=self.command, parameters=parameters,
                                 banks=banks, maximum=any(self.program.fields["maximum"]))
        self.buffer = LogitsBuffer(classes=network.topology.classes,
                                   lanes=parameters.requantizers, bits=self.ranges.accumulator)
        self.contents = {**self.weights.contents, "constants": self.writer.content}
        self.loader = Loader(self.contents) if load else None
        first = schedule.operations[0].node
        packed = schedule.packed > 1
        self.receiver = Receiver(
            tensor=schedule.input, table=network.table, shape=network.topology.input_shape,
            packed=schedule.packed, stride=first.stride if packed else 1,
            padding=first.padding if packed else 0, wide=parameters.wide, banks=banks, depth=depth)
        self.module_name = f"core_{network.topology.model}_{network.scheme}_{parameters.pes}"
        super().__init__({
            "pixels": In(stream.Signature(PIXEL)),
            "logits": Out(stream.Signature(LOGITS)),
            "enable": In(1), "busy": Out(1), "done": Out(1), "cycles": Out(32),
            "short": Out(1), "long": Out(1),
            **({"load": In(stream.Signature(WORD)), "loaded": Out(1), "load_error": Out(1)}
               if load else {}),
        })

    # Cycles of fetching a layer's row and starting it, and from the sequencer's state to its
    # command's vectors.
    FETCH, READ = 3, 1 + Operands.LATENCY

    @property
    def layer_cycles(self) -> dict[str, int]:
        """Cycles of each layer: fetching its row, the sets, and the way of the last one."""
        found = {}
        for operation in self.schedule.operations:
            last = self.writer.latency if operation.output else self.writer.logits_latency
            latency = 1 if operation.kind == "maxpool" else self.arrays[0].latency
            found[operation.node.name] = (
                self.FETCH + (operation.sets - 1) * operation.interval + operation.vectors
                + self.READ + latency + last)
        return found

    @property
    def image_cycles(self) -> int:
        return sum(self.layer_cycles.values()) + 1

    @property
    def latency(self) -> int:
        """Cycles from the first byte of an image to its last logit, where nothing waits."""
        classes = self.network.topology.classes
        return self.receiver.cycles + self.image_cycles + classes + self.buffer.rows - 1

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        parameters, program = self.parameters, self.program
        sequencer = place(m, platform, "sequencer", self.sequencer)
        memory = place(m, platform, "memory", self.memory)
        writer = place(m, platform, "writer", self.writer)
        receiver = place(m, platform, "receiver", self.receiver)
        weights = place(m, platform, "weights", self.weights)

        wiring.connect(m, wiring.flipped(self.pixels), receiver.pixels)

        rows = Memory(shape=self.op, depth=len(program),
                      init=[program.row(k) for k in range(len(program))])
        m.submodules.rows = rows
        port = rows.read_port()
        op = port.data
        m.d.comb += [sequencer.op.eq(op), writer.op.eq(op)]
        logits = place(m, platform, "logits", self.buffer)
        wiring.connect(m, wiring.flipped(self.logits), logits.o)
        m.d.comb += [logits.i.eq(writer.logits), logits.valid.eq(writer.logits_valid),
                     logits.done.eq(self.done)]

        # One layer after the other.
        layer = Signal(index_shape(len(program)))
        start = Signal()
        counter = Signal(32)
        m.d.comb += [port.addr.eq(layer), sequencer.start.eq(start), writer.start.eq(start)]
        last_reader = max(k for k, value in enumerate(program.fields["reads_input"]) if value)
        m.d.comb += [self.short.eq(receiver.short), self.long.eq(receiver.long)]
        # A cycle later than it might be, which shortens a slow path and delays nothing.
        m.d.sync += [start.eq(0), receiver.free.eq((layer == last_reader) & sequencer.done),
                     counter.eq(counter + 1)]
        begin = receiver.full & self.enable
        if self.loader:
            begin &= self._load(m, platform, writer, weights)
        with m.FSM():
            with m.State("IMAGE"):
                m.d.sync += [layer.eq(0), counter.eq(1)]
                with m.If(begin):
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.busy.eq(1)
                m.next = "START"
            with m.State("START"):
                m.d.comb += self.busy.eq(1)
                with m.If(~op.logits | logits.free):
                    m.d.sync += start.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += self.busy.eq(1)
                with m.If(writer.done):
                    m.d.sync += layer.eq(layer + 1)
                    m.next = "FETCH"
                    with m.If(layer == len(program) - 1):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += self.cycles.eq(counter + 1)
                        m.next = "IMAGE"

        # The activation memory: results first, then what is received.
        writing = Signal()
        m.d.comb += [writing.eq(writer.write_banks.any()), receiver.grant.eq(~writing),
                     memory.read_address.eq(sequencer.command.address)]
        with m.If(writing):
            m.d.comb += [
                memory.write_banks.eq(writer.write_banks),
                memory.write_parts.eq(writer.write_parts),
                memory.write_address.eq(writer.write_address),
                memory.write_data.eq(writer.write_data),
            ]
        with m.Else():
            m.d.comb += [
                memory.write_banks.eq(receiver.request << receiver.bank),
                memory.write_parts.eq((1 << self.parts) - 1),
                memory.write_address.eq(receiver.address),
                *(memory.write_data[g].eq(receiver.word) for g in range(parameters.groups)),
            ]

        m.d.comb += [
            weights.row.eq(sequencer.command.weight_row),
            weights.pass_.eq(sequencer.command.pass_),
            weights.format.eq(op.format),
        ]
        operands = place(m, platform, "operands", self.operands)
        m.d.comb += [
            operands.op.eq(op), operands.command.eq(sequencer.command),
            operands.words.eq(memory.read_data), writer.residual.eq(operands.residuals),
        ]
        captured = None
        for g, component in enumerate(self.arrays):
            array = place(m, platform, f"array_{g}", component)
            payload = array.i.payload
            m.d.comb += [
                array.i.valid.eq(operands.valid & ~op.maximum),
                payload.x.eq(operands.vectors[g]), payload.first.eq(operands.first),
                payload.last.eq(operands.last),
                *(payload.w[c].eq(weights.w[c]) for c in range(parameters.channels)),
            ]
            if "mode" in payload.shape().members:
                m.d.comb += payload.mode.eq(op.mode)
            m.d.comb += writer.acc[g].eq(array.o.payload.acc)
            captured = array.o.valid if captured is None else captured
        m.d.comb += writer.capture.eq(captured)
        if self.operands.maximum:
            with m.If(op.maximum):
                m.d.comb += [
                    writer.capture.eq(operands.maxima_valid),
                    *(writer.acc[g][c].eq(operands.maxima[g][c])
                      for g in range(parameters.groups) for c in range(parameters.channels)),
                ]
        return m

    def _load(self, m: Module, platform: Any, writer: Any, weights: Any) -> Value:
        """The loader; whether an image may begin: a load that is offered goes first."""
        loader = place(m, platform, "loader", self.loader)
        wiring.connect(m, wiring.flipped(self.load), loader.words)
        m.d.comb += [
            loader.enable.eq(~self.busy),
            self.loaded.eq(loader.loaded), self.load_error.eq(loader.error),
            writer.load.eq(loader.o.constants),
            *(weights.load[name].eq(loader.o[name]) for name in self.weights.contents),
        ]
        return loader.loaded & ~self.load.valid
