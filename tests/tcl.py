"""Enough of Tcl to run Vivado scripts and constraints without Vivado.

The parser follows the Dodekalogue (words, braces, quotes, brackets, variables, ``{*}``, comments,
backslash-newline). Vivado's commands are checked against their usage, and recorded instead of run.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


class TclError(Exception):
    pass


@dataclass
class Word:
    """Literal text, names of variables and nested scripts, in order, as (kind, content)."""

    parts: list[tuple[str, object]] = field(default_factory=list)
    expand: bool = False


Command = list[Word]


class _Parser:
    def __init__(self, text: str):
        self.text, self.pos = text, 0

    def peek(self, offset: int = 0) -> str:
        return self.text[self.pos + offset:self.pos + offset + 1]

    def script(self, end: str = "") -> list[Command]:
        commands: list[Command] = [[]]
        while True:
            char = self.peek()
            if char == end:
                self.pos += len(end)
                return [command for command in commands if command]
            if char == "":
                raise TclError("missing close-bracket")
            if char in "\n;":
                commands.append([])
                self.pos += 1
            elif char in " \t\r":
                self.pos += 1
            elif char == "\\" and self.peek(1) == "\n":
                self.pos += 2
            elif char == "#" and not commands[-1]:
                while self.peek() not in ("", "\n"):
                    self.pos += 2 if self.peek() == "\\" else 1
            else:
                commands[-1].append(self.word(end))

    def word(self, end: str) -> Word:
        word = Word()
        if self.text.startswith("{*}", self.pos) and not self.peek(3).isspace():
            word.expand = True
            self.pos += 3
        if self.peek() == "{":
            word.parts.append(("text", self.braces()))
            self.after(end, "close-brace")
        elif self.peek() == '"':
            self.pos += 1
            self.pieces(word, lambda: self.peek() == '"')
            if self.peek() != '"':
                raise TclError('missing "')
            self.pos += 1
            self.after(end, "close-quote")
        else:
            self.pieces(word, lambda: self.at_end(end) or self.text.startswith("\\\n", self.pos))
        return word

    def at_end(self, end: str) -> bool:
        return self.peek() in ("", " ", "\t", "\r", "\n", ";", end)

    def after(self, end: str, what: str) -> None:
        if not self.at_end(end) and not self.text.startswith("\\\n", self.pos):
            raise TclError(f"extra characters after {what}")

    def braces(self) -> str:
        start, depth = self.pos + 1, 0
        while (char := self.peek()) != "":
            depth += {"{": 1, "}": -1}.get(char, 0)
            self.pos += 2 if char == "\\" else 1
            if depth == 0:
                return self.text[start:self.pos - 1].replace("\\\n", " ")
        raise TclError("missing close-brace")

    def pieces(self, word: Word, done: Callable[[], bool]) -> None:
        while self.peek() != "" and not done():
            char = self.peek()
            self.pos += 1
            if char == "[":
                word.parts.append(("script", self.script("]")))
            elif char == "$" and self.peek() == "{":
                word.parts.append(("variable", self.braces()))
            elif char == "$" and (self.peek().isalnum() or self.peek() == "_"):
                start = self.pos
                while self.peek().isalnum() or self.peek() == "_":
                    self.pos += 1
                word.parts.append(("variable", self.text[start:self.pos]))
            else:
                if char == "\\":
                    char = {"n": "\n", "t": "\t", "\n": " "}.get(self.peek(), self.peek())
                    self.pos += 1
                word.parts.append(("text", char))


def parse(script: str) -> list[Command]:
    return _Parser(script).script()


def split(text: str) -> list[str]:
    """The elements of a list."""
    words = [word for command in parse(text) for word in command]
    if any(kind != "text" for word in words for kind, _ in word.parts):
        raise TclError(f"not a plain list: {text}")
    return ["".join(str(part) for _, part in word.parts) for word in words]


@dataclass(frozen=True)
class Usage:
    """What one of Vivado's commands takes (UG835): switches, options with a value, those of them
    that it must have, least and most other arguments."""

    flags: str = ""
    options: str = ""
    required: str = ""
    least: int = 0
    most: int = 0


XDC = {
    "create_clock": Usage("-add", "-name -period -waveform", "-period", 0, 1),
    "current_design": Usage(),
    "get_ports": Usage("-quiet", "-filter", "", 1, 1),
    "set_false_path": Usage("", "-from -to -through"),
    "set_input_delay": Usage("-max -min", "-clock", "-clock", 2, 2),
    "set_output_delay": Usage("-max -min", "-clock", "-clock", 2, 2),
    "set_property": Usage("", "-dict", "", 1, 3),
}
VIVADO = {
    "opt_design": Usage(),
    "place_design": Usage(),
    "read_verilog": Usage("-sv", "-library", "", 1, 1),
    "read_xdc": Usage("-unmanaged", "-mode -ref -cells", "", 1, 1),
    "report_timing_summary": Usage("", "-file -max_paths"),
    "report_utilization": Usage("-hierarchical", "-file"),
    "route_design": Usage(),
    "synth_design": Usage("", "-top -part -mode -max_dsp -flatten_hierarchy", "-top -part"),
    "write_bitstream": Usage("-force", "", "", 1, 1),
    "write_checkpoint": Usage("-force", "", "", 1, 1),
}
CORE = ("file", "if", "info", "puts", "set", "source")


@dataclass(frozen=True)
class Call:
    name: str
    options: dict[str, str]
    arguments: list[str]


class Interpreter:
    """Runs scripts in a folder, which holds all files that they may name."""

    def __init__(self, folder: Path):
        self.folder = str(folder.resolve())
        self.variables: dict[str, str] = {}
        self.calls: list[Call] = []
        self.script = ""
        self.made = {self.folder}
        self.known: dict[str, Usage] = XDC | VIVADO

    def source(self, name: str) -> None:
        outer, self.script = self.script, os.path.join(self.folder, name)
        self.existing(self.script)
        self.run(Path(self.script).read_text())
        self.script = outer

    def existing(self, name: str) -> None:
        if os.path.dirname(name) != self.folder or not os.path.isfile(name):
            raise TclError(f"no such file in the folder: {name}")

    def check(self, commands: list[Command]) -> None:
        """Refuses unknown commands, also in branches that are not taken."""
        for command in commands:
            for word in command:
                for kind, part in word.parts:
                    if kind == "script":
                        self.check(part)  # type: ignore[arg-type]
            name = "".join(str(part) for kind, part in command[0].parts if kind == "text")
            if name not in CORE and name not in self.known:
                raise TclError(f"invalid command name {name!r}")

    def run(self, script: str) -> str:
        commands = parse(script)
        self.check(commands)
        return self.execute(commands)

    def execute(self, commands: list[Command]) -> str:
        result = ""
        for command in commands:
            words: list[str] = []
            for word in command:
                value = "".join(self.value(kind, part) for kind, part in word.parts)
                words += split(value) if word.expand else [value]
            name, arguments = words[0], words[1:]
            result = (getattr(self, f"do_{name}")(arguments) if name in CORE
                      else self.vivado(name, arguments))
        return result

    def value(self, kind: str, part: object) -> str:
        if kind == "script":
            return self.execute(part)  # type: ignore[arg-type]
        if kind == "variable" and part not in self.variables:
            raise TclError(f"can't read {part!r}: no such variable")
        return self.variables[str(part)] if kind == "variable" else str(part)

    def do_file(self, arguments: list[str]) -> str:
        match arguments:
            case ["dirname", path]:
                return os.path.dirname(path)
            case ["normalize", path]:
                return os.path.normpath(path)
            case ["join", *paths]:
                return os.path.join(*paths)
            case ["mkdir", path]:
                self.made.add(path)
                return ""
        raise TclError(f"file {arguments}: not understood")

    def do_if(self, arguments: list[str]) -> str:
        match arguments:
            case [condition, body] | [condition, body, "else", _]:
                for branch in arguments[1::2]:
                    self.check(parse(branch))
                word = Word(_Parser(f'"{condition}"').word("").parts)
                chosen = "".join(self.value(kind, part) for kind, part in word.parts)
                if chosen not in ("0", "1"):
                    raise TclError(f"expected a boolean, found {chosen!r}")
                taken = body if chosen == "1" else "".join(arguments[3:])
                return self.execute(parse(taken))
        raise TclError("wrong # args: if")

    def do_info(self, arguments: list[str]) -> str:
        if arguments != ["script"]:
            raise TclError(f"info {arguments}: not understood")
        return self.script

    def do_puts(self, arguments: list[str]) -> str:
        if not 1 <= len(arguments) <= 2:
            raise TclError("wrong # args: puts")
        return ""

    def do_set(self, arguments: list[str]) -> str:
        if not 1 <= len(arguments) <= 2:
            raise TclError("wrong # args: set")
        if len(arguments) == 2:
            self.variables[arguments[0]] = arguments[1]
        return self.value("variable", arguments[0])

    def do_source(self, arguments: list[str]) -> str:
        if len(arguments) != 1:
            raise TclError("wrong # args: source")
        self.source(os.path.relpath(arguments[0], self.folder))
        return ""

    def vivado(self, name: str, arguments: list[str]) -> str:
        usage = self.known[name]
        options: dict[str, str] = {}
        rest: list[str] = []
        words = iter(arguments)
        for word in words:
            if word in usage.flags.split():
                options[word] = ""
            elif word in usage.options.split():
                value = next(words, None)
                if value is None:
                    raise TclError(f"{name}: {word} needs a value")
                options[word] = value
            elif word.startswith("-"):
                raise TclError(f"{name}: unknown option {word!r}")
            else:
                rest.append(word)
        for required in usage.required.split():
            if required not in options:
                raise TclError(f"{name}: {required} is missing")
        if name == "set_property":
            pairs = "-dict" in options and len(split(options["-dict"])) % 2 == 0
            if len(rest) != (1 if pairs else 3):
                raise TclError(f"{name}: expected name, value and object")
        if not usage.least <= len(rest) <= usage.most:
            raise TclError(f"{name}: {usage.least} to {usage.most} arguments, found {rest}")
        self.calls.append(Call(name, options, rest))
        self.touch(name, options, rest)
        return rest[0] if name == "get_ports" else name

    def touch(self, name: str, options: dict[str, str], arguments: list[str]) -> None:
        """Checks the files that a command reads or writes."""
        if name.startswith("read_"):
            self.existing(arguments[0])
        if name == "read_xdc":
            xdc = Interpreter(Path(self.folder))
            xdc.known = XDC
            xdc.run(Path(arguments[0]).read_text())
            self.calls += xdc.calls
        written = arguments if name.startswith("write_") else [options.get("-file", "")]
        for path in filter(None, written):
            if os.path.dirname(path) not in self.made:
                raise TclError(f"{name}: no folder for {path}")
