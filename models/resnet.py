"""The networks: ResNets for CIFAR and ImageNet, the paper's MNIST network, and one for the digits.

ResNet-20 to -110: He et al., *Deep Residual Learning for Image Recognition*, section 4.2, with
shortcuts of 1×1 convolutions (option B) or zero padding (option A); ResNet-18 and -34: table 1.
"""

from collections.abc import Callable
from typing import Any

from models.topology import INPUT, Node, Residual, Topology

__all__ = ["MODELS", "basic_blocks", "build", "mnist", "resnet_cifar", "resnet_imagenet"]


def basic_blocks(*, source: str, channels: int, stages: list[tuple[int, int, int]],
                 shortcut: str) -> tuple[list[Node], str, int]:
    """Stages of basic blocks, each two 3×3 convolutions and a shortcut.

    Parameters
    ----------
    source : :class:`str`
        The tensor that the first block reads.
    channels : :class:`int`
        Its channels.
    stages : list of tuple
        Width in channels, number of blocks, and stride of the first block.
    shortcut : :class:`str`
        ``conv`` (1×1 convolution) or ``zero`` (every stride-th pixel, zero channels around), where
        a block changes the shape.

    Returns
    -------
    tuple
        The layers, the last tensor and its channels.

    Raises
    ------
    :exc:`ValueError`
        If ``shortcut`` is neither.
    """
    if shortcut not in ("conv", "zero"):
        raise ValueError(f"shortcut must be conv or zero, not {shortcut!r}")
    nodes = []
    for stage, (width, count, first_stride) in enumerate(stages, start=1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = first_stride if block == 0 else 1
            residual = Residual(source)
            tail = []
            if stride != 1 or channels != width:
                if shortcut == "conv":
                    tail = [Node(f"{name}.shortcut", "conv", source, channels, width,
                                 stride=stride)]
                    residual = Residual(f"{name}.shortcut")
                else:
                    residual = Residual(source, stride, (width - channels) // 2)
            nodes += [
                Node(f"{name}.conv1", "conv", source, channels, width, 3, stride, 1, relu=True),
                Node(f"{name}.conv2", "conv", f"{name}.conv1", width, width, 3, 1, 1, relu=True,
                     residual=residual),
                *tail,
            ]
            source, channels = f"{name}.conv2", width
    return nodes, source, channels


def _classifier(nodes: list[Node], source: str, channels: int, model: str,
                input_shape: tuple[int, int, int], classes: int, size: int) -> Topology:
    return Topology(model, input_shape, (
        *nodes,
        Node("pool", "avgpool", source, channels, channels, size, size),
        Node("fc", "fc", "pool", channels, classes)))


def resnet_cifar(*, depth: int, width: int = 16, classes: int = 10,
                 input_shape: tuple[int, int, int] = (3, 32, 32), shortcut: str = "conv",
                 model: str | None = None) -> Topology:
    """ResNet of 6n + 2 layers: a 3×3 stem and three stages of n blocks, of ``width``, 2·``width``
    and 4·``width`` channels.

    Raises
    ------
    :exc:`ValueError`
        If ``depth`` is not 6n + 2 with n ≥ 1, or the image is smaller than 4 pixels.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"ResNet depth must be 6n + 2 with n at least 1, not {depth}")
    channels, height, image_width = input_shape
    if height != image_width or height < 4:
        raise ValueError(f"ResNet images must be square and at least 4 pixels, not "
                         f"{height}x{image_width}")
    count = (depth - 2) // 6
    stem = Node("stem", "conv", INPUT, channels, width, 3, 1, 1, relu=True)
    nodes, source, channels = basic_blocks(
        source="stem", channels=width, shortcut=shortcut,
        stages=[(width, count, 1), (2 * width, count, 2), (4 * width, count, 2)])
    return _classifier([stem, *nodes], source, channels, model or f"resnet{depth}", input_shape,
                       classes, -(-height // 4))


def resnet_imagenet(*, blocks: tuple[int, ...], width: int = 64, classes: int = 1000,
                    input_shape: tuple[int, int, int] = (3, 224, 224), shortcut: str = "conv",
                    model: str = "resnet") -> Topology:
    """ResNet with a 7×7 stem of stride 2, max pooling, and four stages of basic blocks."""
    channels, height, image_width = input_shape
    if height != image_width or height < 32:
        raise ValueError(f"ImageNet images must be square and at least 32 pixels, not "
                         f"{height}x{image_width}")
    nodes, source, last = basic_blocks(
        source="maxpool", channels=width, shortcut=shortcut,
        stages=[(width << i, count, 1 if i == 0 else 2) for i, count in enumerate(blocks)])
    stem = [Node("stem", "conv", INPUT, channels, width, 7, 2, 3, relu=True),
            Node("maxpool", "maxpool", "stem", width, width, 3, 2, 1)]
    return _classifier([*stem, *nodes], source, last, model, input_shape, classes,
                       -(-height // 32))


def mnist(*, classes: int = 10, input_shape: tuple[int, int, int] = (1, 28, 28)) -> Topology:
    """The paper's MNIST network: two 5×5 convolutions, each pooled 2×2, and two fully connected
    layers."""
    channels, *size = input_shape
    rows, columns = (((extent - 4) // 2 - 4) // 2 for extent in size)
    return Topology("mnist", input_shape, (
        Node("conv1", "conv", INPUT, channels, 10, 5, relu=True),
        Node("pool1", "maxpool", "conv1", 10, 10, 2, 2),
        Node("conv2", "conv", "pool1", 10, 20, 5, relu=True),
        Node("pool2", "maxpool", "conv2", 20, 20, 2, 2),
        Node("fc1", "fc", "pool2", 20 * rows * columns, 50, relu=True),
        Node("fc2", "fc", "fc1", 50, classes)))


def _cifar(depth: int) -> Callable[..., Topology]:
    return lambda **options: resnet_cifar(depth=depth, **options)


def _imagenet(depth: int, blocks: tuple[int, ...]) -> Callable[..., Topology]:
    return lambda **options: resnet_imagenet(
        **{"blocks": blocks, "model": f"resnet{depth}", **options})


def _digits(**options: Any) -> Topology:
    return resnet_cifar(**{"depth": 8, "input_shape": (1, 8, 8), **options})


MODELS: dict[str, Callable[..., Topology]] = {
    "resnet8": _digits,
    **{f"resnet{depth}": _cifar(depth) for depth in (20, 32, 44, 56, 110)},
    "resnet18": _imagenet(18, (2, 2, 2, 2)),
    "resnet34": _imagenet(34, (3, 4, 6, 3)),
    "mnist": mnist,
}


def build(model: str, **options: Any) -> Topology:
    """The topology called ``model``, changed by ``options`` (``width``, ``depth`` or ``blocks``,
    ``classes``, ``input_shape``, ``shortcut``, as far as the network has them).

    Raises
    ------
    :exc:`ValueError`
        If there is no such model or option, or a value is out of range.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, not {model!r}")
    try:
        return MODELS[model](**options)
    except TypeError:
        raise ValueError(f"model {model!r} has no option {', '.join(sorted(options))}") from None
