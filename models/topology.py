"""The graph of a network: which layers there are, what they read, and the shapes between them."""

from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["INPUT", "OPS", "Node", "Residual", "Topology"]

INPUT = "input"
OPS = ("conv", "fc", "maxpool", "avgpool")


@dataclass(frozen=True)
class Residual:
    """What is added to a convolution before its activation.

    Parameters
    ----------
    tensor : :class:`str`
        Name of the layer (or :data:`INPUT`) whose output is added.
    stride : :class:`int`
        Every ``stride``-th row and column is taken.
    offset : :class:`int`
        Output channel that its first channel is added to; the channels that it does not reach
        receive zero (the zero-padding shortcut).
    """

    tensor: str
    stride: int = 1
    offset: int = 0


@dataclass(frozen=True)
class Node:
    """One layer.

    Parameters
    ----------
    name : :class:`str`
        Name of the layer and of the tensor that it makes.
    op : :class:`str`
        One of :data:`OPS`. ``fc`` flattens its input in C order.
    input : :class:`str`
        Name of the layer that it reads, or :data:`INPUT`.
    in_channels, out_channels : :class:`int`
        Channels; for ``fc``, features.
    kernel, stride, padding : :class:`int`
        Window of ``conv``, ``maxpool`` and ``avgpool``, square, in pixels.
    relu : :class:`bool`
        Whether a rectifier follows.
    residual : :class:`Residual` or None
        What is added before the rectifier; ``conv`` only.
    """

    name: str
    op: str
    input: str
    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    relu: bool = False
    residual: Residual | None = None

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors that it is computed from."""
        return (self.input, *([self.residual.tensor] if self.residual is not None else []))

    @property
    def weighted(self) -> bool:
        """Whether the layer has weights."""
        return self.op in ("conv", "fc")

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape [out, in, kh, kw] of a convolution's weights, [out, in] of a fully connected
        layer's."""
        if self.op == "fc":
            return (self.out_channels, self.in_channels)
        return (self.out_channels, self.in_channels, self.kernel, self.kernel)

    @property
    def weight_count(self) -> int:
        """Number of weights."""
        return self.out_channels * self.in_channels * self.kernel ** 2 if self.weighted else 0


@dataclass(frozen=True)
class Topology:
    """A network without its numbers.

    Parameters
    ----------
    model : :class:`str`
        Name, for people.
    input_shape : :class:`tuple`
        Channels, height and width of an image.
    nodes : :class:`tuple` of :class:`Node`
        The layers, convolutions in the paper's order (stem, then of each block its convolutions,
        then its shortcut). :attr:`order` is the order to compute them in. The last is the one
        whose outputs are the logits.

    Raises
    ------
    :exc:`ValueError`
        If a name is used twice or missing, the graph has a cycle, or shapes do not agree. The
        message names the layer and the field.
    """

    model: str
    input_shape: tuple[int, int, int]
    nodes: tuple[Node, ...]
    _by_name: dict[str, Node] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ValueError(f"{self.model}: a network has at least one layer, found none")
        for node in self.nodes:
            if node.name in self._by_name or node.name == INPUT:
                raise ValueError(f"layer {node.name!r}: name is used twice")
            self._by_name[node.name] = node
        if self.nodes[-1].op != "fc" or self.nodes[-1].relu:
            raise ValueError(f"layer {self.nodes[-1].name!r}: the last layer must be an fc "
                             f"without relu")
        for name, shape in self.shapes.items():
            if min(shape) < 1:
                raise ValueError(f"layer {name!r}: output shape {shape} is empty")

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.nodes[-1].out_channels

    @property
    def weighted(self) -> list[Node]:
        """The layers with weights, in the paper's order."""
        return [node for node in self.nodes if node.weighted]

    @property
    def convs(self) -> list[Node]:
        """The convolutions; the index in this list is the paper's layer number."""
        return [node for node in self.nodes if node.op == "conv"]

    @cached_property
    def order(self) -> list[Node]:
        """The layers in an order in which each comes after all that it reads."""
        done: list[Node] = []
        state: dict[str, str] = {INPUT: "done"}

        def visit(name: str, reader: str) -> None:
            if state.get(name) == "done":
                return
            if name not in self._by_name:
                raise ValueError(f"layer {reader!r}: reads {name!r}, which is not a layer")
            if state.get(name) == "open":
                raise ValueError(f"layer {name!r}: reads its own output")
            state[name] = "open"
            node = self._by_name[name]
            for tensor in node.reads:
                visit(tensor, name)
            state[name] = "done"
            done.append(node)

        for node in self.nodes:
            visit(node.name, node.name)
        return done

    @cached_property
    def released(self) -> dict[str, tuple[str, ...]]:
        """For each layer the tensors that nothing computed after it reads; never the logits."""
        last_use = {name: node.name for node in self.order
                    for name in (node.name, *node.reads)}
        del last_use[self.nodes[-1].name]
        return {node.name: tuple(name for name, user in last_use.items() if user == node.name)
                for node in self.order}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Channels, height and width of every tensor, :data:`INPUT` included."""
        shapes = {INPUT: self.input_shape}
        for node in self.order:
            if node.op not in OPS:
                raise ValueError(f"layer {node.name!r}: op must be one of {', '.join(OPS)}, "
                                 f"not {node.op!r}")
            channels, height, width = shapes[node.input]
            fed = channels * height * width if node.op == "fc" else channels
            if fed != node.in_channels:
                raise ValueError(f"layer {node.name!r}: in_channels is {node.in_channels}, "
                                 f"its input {node.input!r} has {fed}")
            if not node.weighted and node.in_channels != node.out_channels:
                raise ValueError(f"layer {node.name!r}: out_channels is {node.out_channels}, "
                                 f"expected {node.in_channels} as in_channels")
            if node.op == "fc":
                shapes[node.name] = (node.out_channels, 1, 1)
            else:
                if min(node.kernel, node.stride) < 1 or not 0 <= node.padding < node.kernel:
                    raise ValueError(f"layer {node.name!r}: kernel and stride must be at least 1 "
                                     f"and padding 0 to kernel - 1, found {node.kernel}, "
                                     f"{node.stride}, {node.padding}")
                if node.op == "avgpool" and node.padding:
                    raise ValueError(f"layer {node.name!r}: average pooling takes no padding")
                height, width = ((size + 2 * node.padding - node.kernel) // node.stride + 1
                                 for size in (height, width))
                shapes[node.name] = (node.out_channels, height, width)
            if node.residual is not None:
                self._check_residual(node, shapes)
        return shapes

    @staticmethod
    def _check_residual(node: Node, shapes: dict[str, tuple[int, int, int]]) -> None:
        assert node.residual is not None
        if node.op != "conv":
            raise ValueError(f"layer {node.name!r}: only a conv takes a residual")
        residual = node.residual
        channels, *size = shapes[residual.tensor]
        taken = tuple(-(-extent // residual.stride) for extent in size)
        if taken != shapes[node.name][1:] or not (
                0 <= residual.offset <= node.out_channels - channels):
            raise ValueError(f"layer {node.name!r}: residual {residual.tensor!r} of {channels} "
                             f"channels at {residual.offset} and {taken} pixels does not fit "
                             f"the output {shapes[node.name]}")

    def macs(self, name: str) -> int:
        """Multiply-accumulates that a layer with weights takes for one image."""
        _, height, width = self.shapes[name]
        return self[name].weight_count * height * width
