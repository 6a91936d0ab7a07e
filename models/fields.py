"""Typed reading of JSON: each field is taken once, missing and unknown ones are refused."""

from typing import Any

__all__ = ["Fields", "numbers"]


class Fields:
    """A JSON object whose fields are taken one by one, each checked for its type."""

    def __init__(self, where: str, content: Any) -> None:
        if not isinstance(content, dict):
            raise ValueError(f"{where}: expected an object, found {type(content).__name__}")
        self.where = where
        self.content = dict(content)

    def take(self, name: str, *types: type) -> Any:
        if name not in self.content:
            raise ValueError(f"{self.where}: {name}: missing")
        value = self.content.pop(name)
        if (isinstance(value, bool) and bool not in types) or not isinstance(value, types):
            expected = " or ".join("null" if t is type(None) else t.__name__ for t in types)
            raise ValueError(f"{self.where}: {name}: expected {expected}, found {value!r:.60}")
        return value

    def end(self) -> None:
        if self.content:
            raise ValueError(f"{self.where}: {next(iter(self.content))}: unexpected field")


def numbers(where: str, values: list, *types: type) -> list:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, types):
            raise ValueError(f"{where}: expected numbers, found {value!r:.60}")
    return values
