"""What the kernel opens by itself when a program is exec'd: ``#!`` interpreters and ELF loaders.

No trace shows these opens, and a refusal of one is reported against the script, so they are read from the files.
"""

import enum
import os
import re
import struct
from typing import BinaryIO

import msgspec

BINPRM_BUF_SIZE = 256  # linux/binfmts.h: how much of a file the kernel looks at
MAX_DEPTH = 5  # fs/exec.c: interpreters of interpreters


_WORDS = re.compile(rb"[ \t]*([^ \t]+)([ \t]*)(.*)", re.DOTALL)  # a carriage return belongs to the name


class Via(enum.StrEnum):
    """How an interpreter comes in."""

    SHEBANG = "shebang"
    ENV = "env"
    """Named to env(1) in a ``#!`` line: exec'd by env, not by the kernel."""
    LOADER = "loader"


class Interpreter(msgspec.Struct, frozen=True, order=True):
    """``path`` as written in the file (for ``ENV`` perhaps a bare name that env looks up on PATH)."""

    via: Via
    path: str


def interpreters(path: str) -> tuple[Interpreter, ...]:
    """The interpreters that the file at ``path`` names; () if it names none or cannot be read."""
    try:
        with open(path, "rb") as file:
            head = file.read(BINPRM_BUF_SIZE)
            if head[:4] == b"\x7fELF":
                return _loader(file, head)
    except (OSError, ValueError, OverflowError):
        return ()
    return shebang(head) if head[:2] == b"#!" else ()


def shebang(head: bytes) -> tuple[Interpreter, ...]:
    """Parse a ``#!`` line as the kernel does (fs/binfmt_script.c), and the program that env(1) would run."""
    line, newline, _ = head[2:BINPRM_BUF_SIZE].partition(b"\n")
    line, nul, _ = line.partition(b"\0")
    words = _WORDS.match(line)
    if words is None:
        return ()
    name, gap, argument = words.groups()
    if len(head) >= BINPRM_BUF_SIZE and not (newline or nul or gap):
        return ()  # the name is cut off: ENOEXEC
    found = [Interpreter(Via.SHEBANG, os.fsdecode(name))]
    if name.rsplit(b"/", 1)[-1] == b"env":
        program = _env_program(argument.rstrip(b" \t"))
        if program:
            found.append(Interpreter(Via.ENV, program))
    return tuple(found)


_ENV_TAKES_VALUE = frozenset({"-u", "--unset", "-C", "--chdir"})  # env(1), coreutils


def _env_program(argument: bytes) -> str:
    """What ``env ARGUMENT script`` runs: past options and assignments, with ``-S`` split into words."""
    text = os.fsdecode(argument)
    for prefix in ("-S", "--split-string=", "--split-string ", "-vS"):
        if text.startswith(prefix):
            words = text[len(prefix) :].split()
            break
    else:
        words = [text] if text else []  # without -S the kernel passes the rest as one word
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _ENV_TAKES_VALUE:
            skip = True
        elif not word.startswith("-") and "=" not in word:
            return word
    return ""


_PT_INTERP = 3  # linux/elf.h, as all that follows
_MAX_NAME = 4096
_CLASSES = {1: ("<28xI10xHH", "<IIIIIIII", 1, 4), 2: ("<32xQ14xHH", "<IIQQQQQQ", 2, 5)}
"""By EI_CLASS: from the ELF header e_phoff, e_phentsize, e_phnum; a program header; where in it p_offset and p_filesz
stand. Little endian, as every machine that sbx runs on."""


def _loader(file: BinaryIO, head: bytes) -> tuple[Interpreter, ...]:
    """The dynamic loader that an ELF file names (PT_INTERP)."""
    if len(head) < 64 or head[4] not in _CLASSES or head[5] != 1:
        return ()
    header, segment, offset_at, size_at = _CLASSES[head[4]]
    start, size, count = struct.unpack_from(header, head)
    layout = struct.Struct(segment)
    if size < layout.size:
        return ()
    file.seek(start)
    table = file.read(size * count)
    for at in range(0, len(table) - layout.size + 1, size):
        fields = layout.unpack_from(table, at)
        if fields[0] == _PT_INTERP:
            file.seek(fields[offset_at])
            name, end, _ = file.read(min(fields[size_at], _MAX_NAME)).partition(b"\0")
            return (Interpreter(Via.LOADER, os.fsdecode(name)),) if name and end else ()
    return ()
