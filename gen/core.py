# amaranth: UnusedElaboratable=no
"""Core: the accelerator of a whole network."""

from collections.abc import Sequence
from typing import Any

from amaranth import Array as Select
from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gen.activations import ActivationMemory
from gen.array import Array
from gen.core_parameters import CoreParameters
from gen.hierarchy import place
from gen.loader import WORD, Loader
from gen.program import make_program
from gen.receiver import PIXEL, Receiver
from gen.requantizer import RequantizerRanges
from gen.schedule import make_schedule
from gen.sequencer import Sequencer, command_layout
from gen.sequencer import index as indices
from gen.structures import STRUCTURES
from gen.weights import WeightMemory
from gen.writer import Writer
from models.network import Network

__all__ = ["Core"]

LOGITS = data.StructLayout({"data": signed(32), "last": 1})


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
        Its ``error``.

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

    # From a layer's first cycle to its first vector's entry into the arrays, and from the last
    # vector's sums to the writer.
    FETCH, READ = 2, 3

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
        rows = -(-classes // self.parameters.requantizers)
        return self.receiver.cycles + self.image_cycles + classes + rows - 1

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
        logits_free = self._logits(m, writer)

        # One layer after the other.
        layer = Signal(indices(len(program)))
        start = Signal()
        counter = Signal(32)
        m.d.comb += [port.addr.eq(layer), sequencer.start.eq(start), writer.start.eq(start)]
        last_reader = max(k for k, value in enumerate(program.fields["reads_input"]) if value)
        m.d.comb += [
            receiver.free.eq((layer == last_reader) & sequencer.done),
            self.short.eq(receiver.short), self.long.eq(receiver.long),
        ]
        m.d.sync += counter.eq(counter + 1)
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
                with m.If(~op.logits | logits_free):
                    m.d.comb += start.eq(1)
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
        read = Signal(self.command, name="read", reset_less=True)
        entering = Signal(self.command, name="entering", reset_less=True)
        m.d.sync += [read.eq(sequencer.command), entering.eq(read)]
        words, vectors = zip(*[self._word(m, memory, op, read, g)
                               for g in range(parameters.groups)], strict=True)
        vector = Signal()
        m.d.comb += vector.eq(entering.valid)

        captured = None
        for g, component in enumerate(self.arrays):
            array = place(m, platform, f"array_{g}", component)
            payload = array.i.payload
            m.d.comb += [
                array.i.valid.eq(vector & ~op.maximum),
                payload.x.eq(vectors[g]), payload.first.eq(entering.first),
                payload.last.eq(entering.last),
                *(payload.w[c].eq(weights.w[c]) for c in range(parameters.channels)),
            ]
            if "mode" in payload.shape().members:
                m.d.comb += payload.mode.eq(op.mode)
            m.d.comb += writer.acc[g].eq(array.o.payload.acc)
            captured = array.o.valid if captured is None else captured
        m.d.comb += writer.capture.eq(captured)
        if any(program.fields["maximum"]):
            self._maximum(m, op, entering, words, writer)
        self._residuals(m, op, entering, words, writer)
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

    def _word(self, m: Module, memory: Any, op: Any, command: Any, g: int
              ) -> tuple[Signal, Signal]:
        """The word of a group and the vector that is made of it, a cycle after it was read."""
        banks, wide, lanes = self.schedule.banks, self.parameters.wide, self.parameters.lanes
        padding = Cat(*[Cat(op.pad, op.pad[-1].replicate(8))[:8]] * wide)
        found = []
        for beside, inside in enumerate([command.inside[g], command.beside[g]]):
            bank = Signal(indices(banks), name=f"bank_{g}_{beside}")
            m.d.comb += bank.eq(command.bank + g * command.stride + beside)
            word = Signal(8 * wide, name=f"word_{g}_{beside}")
            m.d.comb += word.eq(Mux(
                inside, Select([memory.read_data[b] for b in range(banks)])[bank], padding))
            found.append(word)
        kept = Signal(8 * wide, name=f"x_{g}", reset_less=True)
        m.d.sync += kept.eq(found[0])
        if self.parameters.activations == 1:
            return kept, kept
        low, high = found[0][:8 * lanes], found[0][8 * lanes:]
        first = Mux(command.half, high, low)
        second = Mux(op.halves, first, Mux(op.pair, found[1][:8 * lanes], high))
        vector = Signal(8 * wide, name=f"vector_{g}", reset_less=True)
        m.d.sync += vector.eq(Cat(part.word_select(k, 8) for k in range(lanes)
                                  for part in (first, second)))
        return kept, vector

    def _part(self, word: Signal, part: Any, c: int) -> Any:
        """Activation *c* of a part of a word."""
        return word.word_select(part, 8 * self.parameters.channels)[8 * c:8 * c + 8].as_signed()

    def _maximum(self, m: Module, op: Any, command: Any, words: Sequence[Signal], writer: Any
                 ) -> None:
        """Max pooling: the greatest activation of each channel since the first."""
        ready = Signal()
        m.d.sync += ready.eq(command.valid & command.last & op.maximum)
        with m.If(op.maximum):
            m.d.comb += writer.capture.eq(ready)
        for g, word in enumerate(words):
            for c in range(self.parameters.channels):
                greatest = Signal(signed(8), name=f"greatest_{g}_{c}", reset_less=True)
                x = Signal(signed(8), name=f"candidate_{g}_{c}")
                m.d.comb += x.eq(self._part(word, command.part, c))
                with m.If(command.valid & (command.first | (x > greatest))):
                    m.d.sync += greatest.eq(x)
                with m.If(op.maximum):
                    m.d.comb += writer.acc[g][c].eq(greatest)

    def _residuals(self, m: Module, op: Any, command: Any, words: Sequence[Signal], writer: Any
                   ) -> None:
        """Residuals less their zero point, until the set is captured."""
        for g, word in enumerate(words):
            for c in range(self.parameters.channels):
                residual = Signal(signed(9), name=f"residual_{g}_{c}", reset_less=True)
                with m.If(command.residual):
                    m.d.sync += residual.eq(Mux(
                        command.reached,
                        self._part(word, command.part, c) - op.residual_zero, 0))
                m.d.comb += writer.residual[g][c].eq(Mux(op.residual_tiles != 0, residual, 0))

    def _logits(self, m: Module, writer: Any) -> Any:
        """Keeps the logits until they are taken; whether there is room for those of an image."""
        classes, lanes = self.network.topology.classes, self.parameters.requantizers
        rows = -(-classes // lanes)
        shape = unsigned(32 * lanes)
        memory = Memory(shape=shape, depth=rows, init=[])
        m.submodules.logits_memory = memory
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.data.eq(Cat(writer.logits[k].as_signed()[:32] if len(writer.logits[k]) >= 32
                              else Cat(writer.logits[k], writer.logits[k][-1].replicate(
                                  32 - len(writer.logits[k]))) for k in range(lanes))),
            write.en.eq(writer.logits_valid & (write.addr < rows)),
        ]
        count = Signal(range(2 * rows + lanes + 1))
        with m.If(writer.logits_valid):
            m.d.sync += count.eq(count + 1)
        m.d.comb += write.addr.eq(count)
        free = Signal(init=1)
        row, sent = Signal(range(rows + 1)), Signal(range(classes + 1))
        lane = Signal(indices(lanes))
        fetched = Signal()
        m.d.comb += [
            read.addr.eq(row),
            self.logits.p.data.eq(read.data.word_select(lane, 32)),
            self.logits.p.last.eq(sent == classes - 1),
            self.logits.valid.eq(fetched),
        ]
        with m.If(writer.done & self.done):
            m.d.sync += [free.eq(0), row.eq(0), lane.eq(0), sent.eq(0), count.eq(0)]
        with m.Elif(~free & ~fetched):
            m.d.sync += fetched.eq(1)
        with m.Elif(fetched & self.logits.ready):
            m.d.sync += [sent.eq(sent + 1), lane.eq(lane + 1)]
            with m.If(lane == lanes - 1):
                m.d.sync += [lane.eq(0), row.eq(row + 1), fetched.eq(0)]
            with m.If(sent == classes - 1):
                m.d.sync += [fetched.eq(0), free.eq(1)]
        return free
