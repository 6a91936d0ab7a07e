"""What commands print: tables and progress for people, or one JSON object."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

__all__ = ["Output"]


class Output:
    """Output of one command.

    Parameters
    ----------
    as_json : :class:`bool`
        Whether standard output gets exactly one JSON object, and all else goes to standard error.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=as_json, highlight=False, soft_wrap=True)
        if not self.console.is_terminal:
            self.console.width = 160

    def say(self, text: str) -> None:
        """Prints a line for people."""
        self.console.print(text, markup=False)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Prints a table; numbers are aligned to the right, None is a dash."""
        table = Table(title=title, title_justify="left")
        for index, column in enumerate(columns):
            text = all(isinstance(row[index], str) for row in rows)
            table.add_column(column, justify="left" if text else "right", no_wrap=True)
        for row in rows:
            table.add_row(*("—" if cell is None else f"{cell:,}" if isinstance(cell, int)
                            else f"{cell:,.2f}" if isinstance(cell, float) else str(cell)
                            for cell in row))
        self.console.print(table)

    def result(self, value: dict[str, Any]) -> None:
        """Prints ``value`` if JSON is asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")

    @contextlib.contextmanager
    def progress(self) -> Iterator[Callable[[str, float], None]]:
        """A progress bar on standard error; yields what moves it: a description and a share of
        one."""
        console = Console(stderr=True)
        bar = Progress(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(),
                       TaskProgressColumn(), TimeElapsedColumn(),
                       console=console, transient=True, disable=not console.is_terminal)
        tasks: dict[str, Any] = {}

        def move(what: str, share: float) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[what] = bar.add_task(what, total=1.0)
            bar.update(tasks[what], completed=min(share, 1.0))

        with bar:
            yield move
