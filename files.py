"""Files and folders that appear whole or not at all.

Everything is written beside its destination and renamed into place, so that an error or an
interruption never leaves half a result behind.
"""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["new_folder", "write_bytes", "write_json", "write_text"]


def _beside(path: Path) -> str:
    """A fresh scratch folder in the folder of ``path``.

    Raises
    ------
    :exc:`OSError`
        If that folder cannot be made or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error


@contextlib.contextmanager
def new_folder(path: Path, *, marker: str) -> Iterator[Path]:
    """Yields an empty folder that becomes ``path`` when the block ends without an error.

    An existing ``path`` is replaced only if it is empty or holds a file called ``marker``, that is,
    if it is an older result of the same kind.

    Raises
    ------
    :exc:`ValueError`
        If ``path`` exists and is something else.
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    path = Path(path).absolute()
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file, expected a folder or a new name")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).exists():
        raise ValueError(f"{path} exists and holds no {marker}: not overwritten")
    scratch = Path(_beside(path))
    try:
        content = scratch / "new"
        content.mkdir()
        yield content
        if path.exists():
            path.rename(scratch / "old")
        content.rename(path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes ``content`` to ``path``, replacing what was there.

    Raises
    ------
    :exc:`OSError`
        If ``path`` cannot be written.
    """
    path = Path(path).absolute()
    if path.is_dir():
        raise OSError(f"cannot write {path}: it is a folder")
    scratch = Path(_beside(path))
    try:
        (scratch / "new").write_bytes(content)
        os.replace(scratch / "new", path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def write_text(path: Path, content: str) -> None:
    """:func:`write_bytes` of UTF-8 text."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """:func:`write_text` of ``content`` as indented JSON; NaN and infinities are refused."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
