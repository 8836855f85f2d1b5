"""SBPL, the sandbox's profile language, as data: expressions, their text, and the text read back.

It is a small Scheme: ``(allow file-read* (subpath "/usr/lib") (regex #"^/dev/ttys[0-9]+$"))``. A path is only ever a
string, so that no name can become a rule.
"""

import re
from typing import NamedTuple


class Symbol(str):
    """A word of the language, such as ``allow`` or ``file-read*``."""

    __slots__ = ()


class Regex(NamedTuple):
    """A pattern, ``#"…"``: POSIX extended, found anywhere in a path."""

    pattern: str


Expression = Symbol | str | Regex | int | tuple["Expression", ...]

_SYMBOL = re.compile(r"[A-Za-z_*][A-Za-z0-9_*.:+/?!-]*")
_TOKEN = re.compile(
    r'\s+|;[^\n]*|(?P<open>\()|(?P<close>\))|#"(?P<regex>(?:[^"\\]|\\.)*)"|"(?P<text>(?:[^"\\]|\\.)*)"'
    r"|(?P<number>-?\d+(?=[\s()\";]|\Z))|(?P<symbol>[A-Za-z_*][A-Za-z0-9_*.:+/?!-]*)",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNSAYABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_SPECIAL = re.compile(r"[.^$*+?()\[\]{}|\\]")
_DEEPEST = 64


class SyntaxProblem(ValueError):  # noqa: N818 - it is one
    """Text that is no SBPL; ``str()`` says what, and where."""


def is_sayable(text: str) -> bool:
    """Whether a name can stand in a profile: the compiler reads C strings of UTF-8, and lines."""
    return _UNSAYABLE.search(text) is None


def render(expression: Expression) -> str:
    """The text of an expression, on one line. Raises ValueError for a name that cannot be written."""
    if isinstance(expression, tuple):
        if isinstance(expression, Regex):
            if '"' in expression.pattern or not is_sayable(expression.pattern):
                raise ValueError(f"no pattern: {expression.pattern!r}")
            return f'#"{expression.pattern}"'
        return f"({' '.join(map(render, expression))})"
    if isinstance(expression, Symbol):
        if _SYMBOL.fullmatch(expression) is None:
            raise ValueError(f"no word: {expression!r}")
        return str(expression)
    if isinstance(expression, int):
        return str(expression)
    if not is_sayable(expression):
        raise ValueError(f"no name: {expression!r}")
    return '"' + expression.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse(text: str) -> tuple[Expression, ...]:
    """The expressions of a profile. Raises :class:`SyntaxProblem`."""
    open_ones: list[list[Expression]] = [[]]
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SyntaxProblem(f"line {_line(text, at)}: {text[at : at + 20]!r} is no word")
        at = match.end()
        kind = match.lastgroup
        if kind == "open":
            if len(open_ones) > _DEEPEST:
                raise SyntaxProblem(f"line {_line(text, at)}: nested too deeply")
            open_ones.append([])
        elif kind == "close":
            if len(open_ones) == 1:
                raise SyntaxProblem(f"line {_line(text, at)}: ) without (")
            done = tuple(open_ones.pop())
            open_ones[-1].append(done)
        elif kind == "regex":
            open_ones[-1].append(Regex(match["regex"]))
        elif kind == "text":
            open_ones[-1].append(
                _ESCAPE.sub(lambda m: {"n": "\n", "t": "\t", "r": "\r"}.get(m[1], m[1]), match["text"])
            )
        elif kind == "number":
            open_ones[-1].append(int(match["number"][:18]))
        elif kind == "symbol":
            open_ones[-1].append(Symbol(match["symbol"]))
    if len(open_ones) > 1:
        raise SyntaxProblem("a ) is missing at the end")
    return tuple(open_ones[0])


def exactly(text: str) -> str:
    """A pattern that matches ``text`` and nothing else."""
    return _SPECIAL.sub(lambda match: "\\" + match[0], text)


def in_any_case(text: str) -> str:
    """The same for a volume that does not tell upper case from lower case."""
    return "".join(
        f"[{c.lower()}{c.upper()}]"
        if len({c.lower(), c.upper()}) == 2 and len(c.lower() + c.upper()) == 2
        else exactly(c)
        for c in text
    )


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
