"""The one argument of a program that is looked at: the first, and only where it is a plain word.

It may be a subcommand (``git status``) or a flag (``sh -c``). Arguments may be secrets, so nothing else of them ever
leaves a tracer: no value, no path, nothing with a digit or a capital.
"""

import re

LONGEST = 24
"""Bytes: no longer than any subcommand, shorter than most tokens."""
KEPT_BACK = "…"
"""Stands for an argument that is no plain word, or could not be read."""

_PLAIN = re.compile(rb"[a-z][a-z-]*|--?[a-z]+(?:-[a-z]+)*")


def plain_word(argument: bytes | None) -> str:
    """``argument`` (None: there is none) as an event may carry it: "" for none, KEPT_BACK for any but a plain word."""
    if argument is None:
        return ""
    if len(argument) > LONGEST or not _PLAIN.fullmatch(argument):
        return KEPT_BACK
    return argument.decode("ascii")
