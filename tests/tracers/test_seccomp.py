"""The BPF filter, on every call of every ABI."""

import os
import termios

import pytest
from bpf import ALLOW, verdict

from tracers import seccomp
from tracers.abi import AARCH64, ARM, I386, X32_BIT, X86_64, Abi
from tracers.calls import CONTEXT, SHAPES

TRACE = 0x7FF00000  # linux/seccomp.h


PAIRS = [pytest.param(X86_64, I386, id="x86_64"), pytest.param(AARCH64, ARM, id="aarch64")]


@pytest.mark.parametrize(("native", "foreign"), PAIRS)
def test_traces_what_has_a_shape_and_nothing_else(native: Abi, foreign: Abi) -> None:
    program = seccomp.program(native, foreign)
    assert len(program) // 8 <= 4096  # BPF_MAXINSNS, linux/bpf_common.h
    special = {"ioctl", "sendto"}
    for number in range(600):
        name = native.names.get(number)
        if name in special:
            continue
        wanted = TRACE if name in SHAPES or name in CONTEXT else ALLOW
        assert verdict(program, native.audit_arch, number) == wanted, name


@pytest.mark.parametrize(("native", "foreign"), PAIRS)
def test_the_calls_that_matter_are_in_the_table(native: Abi, foreign: Abi) -> None:
    names = set(native.names.values())
    wanted = "openat openat2 execve execveat newfstatat statx faccessat2 readlinkat unlinkat mkdirat renameat2 linkat "
    wanted += (
        "symlinkat mknodat truncate ftruncate fchmodat fchownat utimensat setxattr chdir fchdir connect bind listen "
    )
    wanted += "sendto sendmsg sendmmsg io_uring_setup ptrace mount memfd_create unshare setns fchmodat2"
    missing = set(wanted.split()) - names

    assert not missing


def test_32_bit_calls_are_traced_by_their_own_numbers() -> None:
    program = seccomp.program(X86_64, I386)
    assert verdict(program, I386.audit_arch, 5) == TRACE  # open; 5 is fstat on x86-64
    assert verdict(program, X86_64.audit_arch, 5) == ALLOW
    assert verdict(program, I386.audit_arch, 102) == TRACE  # socketcall
    assert verdict(program, I386.audit_arch, 4) == ALLOW  # write; 4 is stat on x86-64
    assert verdict(program, X86_64.audit_arch, 4) == TRACE


def test_every_call_of_an_abi_without_a_table_is_traced() -> None:
    program = seccomp.program(AARCH64, ARM)
    assert {verdict(program, ARM.audit_arch, n) for n in range(500)} == {TRACE}


def test_x32_and_unknown_architectures_are_traced() -> None:
    program = seccomp.program(X86_64, I386)
    assert verdict(program, X86_64.audit_arch, X32_BIT | 1) == TRACE
    assert verdict(program, 0x12345678, 1) == TRACE


def test_ioctl_stops_only_for_commands_that_act() -> None:
    program = seccomp.program(X86_64, I386)
    for command in seccomp.SKIPPED_IOCTLS:
        assert verdict(program, X86_64.audit_arch, 16, 0, command) == ALLOW
    assert verdict(program, X86_64.audit_arch, 16, 0, termios.TIOCSTI) == TRACE


@pytest.mark.parametrize(
    ("address", "length", "wanted"),
    [
        (0x7FFF00001000, 1, TRACE),
        (0x7FFF00000000, 1, TRACE),  # only the high word is set
        (0x1000, 100_000, TRACE),
        (0, 1, ALLOW),
        (0, seccomp.DATAGRAM_MIN - 1, ALLOW),
        (0, seccomp.DATAGRAM_MIN, TRACE),
        (0, seccomp.DATAGRAM_MAX, TRACE),
        (0, seccomp.DATAGRAM_MAX + 1, ALLOW),
    ],
)
def test_sendto_stops_for_addresses_and_possible_questions(address: int, length: int, wanted: int) -> None:
    program = seccomp.program(X86_64, I386)
    assert verdict(program, X86_64.audit_arch, 44, 3, 0x1000, length, 0, address, 16) == wanted


def test_free_calls_pass_unless_they_create() -> None:
    free = frozenset({"openat", "open", "stat"})
    program = seccomp.program(X86_64, I386, seccomp.Action.NOTIFY, free=free)
    number = {name: number for number, name in X86_64.names.items()}

    def answer(name: str, *args: int) -> int:
        return verdict(program, X86_64.audit_arch, number[name], *args)

    assert answer("stat") == ALLOW
    assert answer("openat", 0, 0, os.O_RDWR | os.O_TRUNC) == answer("open", 0, os.O_CLOEXEC) == ALLOW
    assert answer("openat", 0, 0, os.O_CREAT | os.O_EXCL) == answer("open", 0, os.O_CREAT) == seccomp.Action.NOTIFY
    assert answer("rename") == answer("creat") == seccomp.Action.NOTIFY
    assert answer("exit_group") == answer("exit") == ALLOW  # a delayed end changes what programs do


def test_what_is_watched_besides() -> None:
    for abi in (X86_64, AARCH64):
        assert {"clone", "clone3", "setuid", "setreuid", "setresuid", "seccomp"} <= set(abi.names.values())
    watched = {seccomp.LISTENS, "clone", "clone3", "setuid"}
    plain = seccomp.program(X86_64, I386, seccomp.Action.NOTIFY)
    program = seccomp.program(X86_64, I386, seccomp.Action.NOTIFY, watched=watched)
    clone, clone3, setuid, listens = 56, 435, 105, 317
    native = X86_64.audit_arch
    for number in (clone, clone3, setuid, listens):
        assert verdict(plain, native, number, seccomp.CLONE_NEWNS, seccomp.NEW_LISTENER) == ALLOW
    for number in (clone3, setuid):
        assert verdict(program, native, number) == seccomp.Action.NOTIFY
    assert verdict(program, native, clone, seccomp.CLONE_NEWNS | 17) == seccomp.Action.NOTIFY
    assert verdict(program, native, clone, 0x01200011) == ALLOW  # a fork
    assert verdict(program, native, listens, 1, seccomp.NEW_LISTENER) == seccomp.Action.NOTIFY
    assert verdict(program, native, listens, 1, 0) == ALLOW
