import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.interpreters import BINPRM_BUF_SIZE, Interpreter, Via, interpreters, shebang


def script(line: bytes) -> list[tuple[str, str]]:
    return [(i.via.value, i.path) for i in shebang(line)]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"#!/bin/sh\n", [("shebang", "/bin/sh")]),
        (b"#! /bin/sh -e\necho", [("shebang", "/bin/sh")]),
        (b"#!\t/bin/sh\t-e\n", [("shebang", "/bin/sh")]),
        (b"#!  \t /bin/sh  \n", [("shebang", "/bin/sh")]),
        (b"#!/bin/sh", [("shebang", "/bin/sh")]),  # a short file without an end of line
        (b"#!bin/sh\n", [("shebang", "bin/sh")]),  # relative: from the current directory
        (b"#!/bin/sh\r\n", [("shebang", "/bin/sh\r")]),  # the kernel looks for just that
        (b"#!/usr/bin/python3\xff\n", [("shebang", "/usr/bin/python3\udcff")]),
        (b"#!\n/bin/sh\n", []),
        (b"#!   \n", []),
        (b"#!", []),
        (b"#!\0/bin/sh\n", []),
        (b"#!/bin/sh\0junk\n", [("shebang", "/bin/sh")]),
        (b"#!/usr/bin/env python3\n", [("shebang", "/usr/bin/env"), ("env", "python3")]),
        (b"#!/usr/bin/env\tpython3\n", [("shebang", "/usr/bin/env"), ("env", "python3")]),
        (b"#!/usr/bin/env python3\r\n", [("shebang", "/usr/bin/env"), ("env", "python3\r")]),
        (b"#!/usr/bin/env python3 -u\n", [("shebang", "/usr/bin/env"), ("env", "python3 -u")]),  # one word, without -S
        (b"#!/usr/bin/env\n", [("shebang", "/usr/bin/env")]),
        (b"#!/usr/bin/env -S python3 -u\n", [("shebang", "/usr/bin/env"), ("env", "python3")]),
        (b"#!/usr/bin/env -S  A=1 -u B -i node --x\n", [("shebang", "/usr/bin/env"), ("env", "node")]),
        (b"#!/usr/bin/env -Snode --x\n", [("shebang", "/usr/bin/env"), ("env", "node")]),
        (b"#!/usr/bin/env -vS node\n", [("shebang", "/usr/bin/env"), ("env", "node")]),
        (b"#!/usr/bin/env --split-string=node\tx\n", [("shebang", "/usr/bin/env"), ("env", "node")]),
        (b"#!/usr/bin/env -S /opt/uv run --script\n", [("shebang", "/usr/bin/env"), ("env", "/opt/uv")]),
        (b"#!/usr/bin/env -S -C /x node\n", [("shebang", "/usr/bin/env"), ("env", "node")]),
        (b"#!/usr/bin/env -i\n", [("shebang", "/usr/bin/env")]),
        (b"#!/usr/bin/env A=1\n", [("shebang", "/usr/bin/env")]),
        (b"#!/usr/bin/envy python3\n", [("shebang", "/usr/bin/envy")]),
    ],
)
def test_first_lines(line: bytes, found: list[tuple[str, str]]) -> None:
    assert script(line) == found


def test_the_kernel_looks_at_256_bytes() -> None:
    longest = b"/" + b"x" * (BINPRM_BUF_SIZE - 4)
    assert script(b"#!" + longest + b"\n") == [("shebang", longest.decode())]
    cut = (b"#!" + longest + b"yz\n")[:BINPRM_BUF_SIZE]
    assert script(cut) == []  # ENOEXEC: who knows what it would have been
    argument = (b"#!/bin/sh " + b"a" * 400 + b"\n")[:BINPRM_BUF_SIZE]
    assert script(argument) == [("shebang", "/bin/sh")]


@given(st.binary(max_size=300))
def test_junk_never_raises(junk: bytes) -> None:
    for found in shebang(b"#!" + junk):
        assert found.path


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def test_files(tmp_path: Path) -> None:
    assert interpreters(write(tmp_path / "script", b"#!/bin/sh\n")) == (Interpreter(Via.SHEBANG, "/bin/sh"),)
    assert interpreters(write(tmp_path / "text", b"echo hello\n")) == ()
    assert interpreters(write(tmp_path / "empty", b"")) == ()
    assert interpreters(write(tmp_path / "late", b"\n#!/bin/sh\n")) == ()
    assert interpreters(str(tmp_path / "absent")) == ()
    assert interpreters(str(tmp_path)) == ()
    assert interpreters(str(tmp_path / "nul\0")) == ()
    long = write(tmp_path / "long", b"#!/" + b"x" * 5000 + b"\n")
    assert interpreters(long) == ()


def _elf(interpreter: bytes | None) -> bytes:
    """A 64-bit ELF file with one program header: PT_INTERP, or PT_LOAD."""
    kind = 3 if interpreter is not None else 1
    text = (interpreter or b"/nowhere") + b"\0"
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += (2).to_bytes(2, "little") + (62).to_bytes(2, "little") + (1).to_bytes(4, "little") + bytes(8)
    header += (64).to_bytes(8, "little") + bytes(12) + b"".join(n.to_bytes(2, "little") for n in (64, 56, 1, 64, 0, 0))
    words = (120, 0, 0, len(text), len(text), 1)
    segment = kind.to_bytes(4, "little") + (4).to_bytes(4, "little") + b"".join(n.to_bytes(8, "little") for n in words)
    return header + segment + text


def test_elf_loaders(tmp_path: Path) -> None:
    dynamic = write(tmp_path / "dynamic", _elf(b"/lib64/ld-linux-x86-64.so.2"))
    assert interpreters(dynamic) == (Interpreter(Via.LOADER, "/lib64/ld-linux-x86-64.so.2"),)
    assert interpreters(write(tmp_path / "static", _elf(None))) == ()
    odd = os.fsdecode(b"/lib/\xffld.so")
    assert interpreters(write(tmp_path / "odd", _elf(os.fsencode(odd)))) in ((), (Interpreter(Via.LOADER, odd),))


def test_this_python_has_a_loader() -> None:
    import sys

    found = interpreters(os.path.realpath(sys.executable))
    assert found == () or (found[0].via is Via.LOADER and os.path.exists(found[0].path))


def test_a_truncated_elf_file_never_raises(tmp_path: Path) -> None:
    whole = _elf(b"/lib/ld.so")
    for length in range(len(whole)):
        assert interpreters(write(tmp_path / "cut", whole[:length])) in ((), (Interpreter(Via.LOADER, "/lib/ld.so"),))


@settings(max_examples=150, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(4, len(_elf(b"/lib/ld.so")) - 1), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_elf_file_never_raises(
    changes: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(_elf(b"/lib/ld.so"))
    for at, value in changes:
        data[at] = value
    interpreters(write(tmp_path_factory.getbasetemp() / "damaged", bytes(data)))
