"""Options that several commands take, and how they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.data import Images

__all__ = ["CalibrationImages", "Checkpoint", "Classes", "Data", "Device", "Executor", "ImageSize",
           "Json", "Model", "Net", "PerChannel", "Rtl", "Scheduler", "Scheme", "Seed",
           "SelectionImages", "Shortcut", "Structures", "Target", "Width", "Workers",
           "application", "integers", "numbers", "read_images"]

Json = Annotated[bool, typer.Option(
    "--json", help="One JSON object on standard output, all else on standard error.")]
Data = Annotated[str, typer.Option(
    help="'digits' (ships with scikit-learn), or a folder of CIFAR-10, MNIST or pictures.")]
Net = Annotated[Path, typer.Argument(help="Artefact of 'doubleq quantize'.")]
Rtl = Annotated[Path, typer.Argument(help="Folder of 'doubleq generate'.")]
Model = Annotated[str, typer.Option(help="Name of the model: 'doubleq info' lists them.")]
Scheme = Annotated[str, typer.Option(help="quant8, doubleq or doubleqext.")]
Checkpoint = Annotated[Path, typer.Argument(help="Float network, PyTorch or safetensors.")]
CalibrationImages = Annotated[int, typer.Option(help="First training images.")]
SelectionImages = Annotated[int, typer.Option(help="Last training images.")]
Width = Annotated[int | None, typer.Option(help="Channels of the first stage.")]
Classes = Annotated[int | None, typer.Option(help="Classes.")]
ImageSize = Annotated[int | None, typer.Option(help="Pixels a side.")]
Shortcut = Annotated[str | None, typer.Option(help="conv or zero.")]
PerChannel = Annotated[str | None, typer.Option(help="Of pixels / 255, a number a channel.")]
Seed = Annotated[int, typer.Option(help="Of every random choice.")]
Device = Annotated[str, typer.Option(help="xc7a100t or xczu9eg.")]
Structures = Annotated[str | None, typer.Option(
    help="Structures of the dot product, commas; all by default.")]
Executor = Annotated[str, typer.Option(help="inline, processes (all cores) or dask.")]
Workers = Annotated[int | None, typer.Option(help="processes: how many.")]
Scheduler = Annotated[str | None, typer.Option(help="dask: tcp://host:port of the cluster.")]
Target = Annotated[Path, typer.Option("-o", "--output", help="Where the result goes.")]


def application(help: str | None = None) -> typer.Typer:
    """A group of commands that prints plain help and leaves errors to ``doubleq.main``."""
    return typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None,
                       pretty_exceptions_enable=False, help=help)


def read_images(data: str, split: str, limit: int | None,
                image_size: int | None = None) -> "Images":
    """Images of a data set, see ``models.data.load``."""
    from models import data as datasets
    return datasets.load(data, split, limit=limit, image_size=image_size)


def numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    """Numbers separated by commas; an error names ``option``."""
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} must be numbers separated by commas, not {text!r}") from None


def integers(option: str, text: str) -> tuple[int, ...]:
    """Whole numbers separated by commas; an error names ``option``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{option} must be whole numbers separated by commas, "
                         f"not {text!r}") from None
