"""The companion filter, run by a small interpreter of classic BPF on calls of every kind."""

import errno

import pytest
from accesses import policy
from bpf import ALLOW, ERRNO, verdict
from hypothesis import given
from hypothesis import strategies as st

from learner.enforcers.companion import AUDIT_ARCH, NUMBERS, REFUSED, gaps, grants_udp, program
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.abi import AARCH64, I386, X32_BIT, X86_64, Abi
from tracers.events import Transport

NATIVE = [pytest.param(X86_64, id="x86_64"), pytest.param(AARCH64, id="aarch64")]
CLONE_NEWUSER, CLONE_NEWTIME, SIGCHLD, CLONE_VM = 0x10000000, 0x80, 17, 0x100
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG = 1, 2, 10, 16, 17, 40, 38
STREAM, DGRAM, RAW, SEQPACKET, NONBLOCK, CLOEXEC = 1, 2, 3, 5, 0o4000, 0o2000000
HIGH = 0xABCDEF00_00000000
"""Garbage in the half of an argument that the kernel does not read."""
SPECIAL = {"socket", "ioctl", "clone", "unshare", "sendto", "sendmsg", "sendmmsg"}
"""Calls of which some are refused, depending on their arguments."""


def run(code: bytes, arch: int, number: int, *args: int) -> int:
    """The errno that the filter answers, 0 if it lets the call pass."""
    said = verdict(code, arch, number, *args)
    if said == ALLOW:
        return 0
    assert said & 0xFFFF0000 == ERRNO
    return said & 0xFFFF


MACHINES = {X86_64.audit_arch: "x86_64", AARCH64.audit_arch: "aarch64"}


def filter_of(native: Abi, udp: bool) -> bytes:
    return program(MACHINES[native.audit_arch], udp)


@pytest.mark.parametrize("native", NATIVE)
def test_the_numbers_are_those_of_the_tracers_tables(native: Abi) -> None:
    machine = MACHINES[native.audit_arch]
    assert AUDIT_ARCH[machine] == native.audit_arch
    newer = {"open_tree_attr": 467}
    for name, number in NUMBERS[machine].items():
        assert native.names.get(number, "") == name or newer.get(name) == number
    wanted = {name for entry in REFUSED for name in entry.names} | SPECIAL
    assert set(NUMBERS[machine]) == wanted


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize(("name", "flags"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_nothing_connects_by_sending(native: Abi, name: str, flags: int) -> None:
    fast_open, dont_wait = 0x20000000, 0x40  # linux/socket.h
    for others, refused in ((0, False), (dont_wait, False), (fast_open, True), (fast_open | dont_wait, True)):
        answer = call(native, name, *[0] * flags, others)
        assert answer == (errno.EOPNOTSUPP if refused else 0)


def call(native: Abi, name: str, *args: int, udp: bool = False) -> int:
    number = min(number for number, known in native.names.items() if known == name)
    return run(filter_of(native, udp), native.audit_arch, number, *args)


@pytest.mark.parametrize("native", NATIVE)
def test_what_is_refused_whatever_its_arguments(native: Abi) -> None:
    known = set(native.names.values())
    for entry in REFUSED:
        assert entry.reason
        for name in entry.names:
            if name in known:
                assert call(native, name) == entry.errno, name
    wanted = {"io_uring_setup", "keyctl", "mount", "open_tree", "move_mount", "clone3", "bpf", "userfaultfd", "setns"}
    assert wanted <= known & {name for entry in REFUSED for name in entry.names}


@pytest.mark.parametrize("native", NATIVE)
def test_everything_else_passes(native: Abi) -> None:
    code = filter_of(native, udp=False)
    refused = {name for entry in REFUSED for name in entry.names}
    for number, name in native.names.items():
        if name not in refused | SPECIAL:
            assert run(code, native.audit_arch, number, *[0xFFFFFFFF] * 6) == 0, name
    assert len(code) // 8 < 4096  # BPF_MAXINSNS, linux/bpf_common.h


@pytest.mark.parametrize(
    ("family", "kind", "protocol", "with_tcp", "with_udp"),
    [
        (AF_UNIX, STREAM, 0, 0, 0),
        (AF_UNIX, SEQPACKET | CLOEXEC, 0, 0, 0),
        (AF_INET, STREAM, 0, 0, 0),
        (AF_INET6, STREAM | NONBLOCK | CLOEXEC, 6, 0, 0),
        (AF_INET, STREAM, 262, errno.EACCES, errno.EACCES),  # MPTCP
        (AF_INET, STREAM, 132, errno.EACCES, errno.EACCES),  # SCTP
        (AF_INET, DGRAM | CLOEXEC, 0, errno.EACCES, 0),
        (AF_INET6, DGRAM, 17, errno.EACCES, 0),
        (AF_INET, DGRAM, 1, errno.EACCES, errno.EACCES),  # ping
        (AF_INET, DGRAM, 136, errno.EACCES, errno.EACCES),  # UDP-Lite
        (AF_INET, RAW, 1, errno.EACCES, errno.EACCES),
        (AF_NETLINK, RAW | CLOEXEC, 0, 0, 0),
        (AF_NETLINK, DGRAM, 9, errno.EACCES, errno.EACCES),  # audit
        (AF_NETLINK, RAW, 4, errno.EACCES, errno.EACCES),  # the sockets of every process
        (AF_PACKET, RAW, 3, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
        (AF_VSOCK, STREAM, 0, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
        (AF_ALG, SEQPACKET, 0, errno.EAFNOSUPPORT, errno.EAFNOSUPPORT),
    ],
)
@pytest.mark.parametrize("native", NATIVE)
def test_sockets(native: Abi, family: int, kind: int, protocol: int, with_tcp: int, with_udp: int) -> None:
    for high in (0, HIGH):
        args = (family | high, kind | high, protocol | high)
        assert call(native, "socket", *args) == with_tcp
        assert call(native, "socket", *args, udp=True) == with_udp


@given(st.integers(0, 45), st.integers(0, 0xFFFFFFFF), st.integers(0, 300), st.booleans())
def test_no_inet_socket_but_tcp_and_granted_udp(family: int, kind: int, protocol: int, udp: bool) -> None:
    passed = call(X86_64, "socket", family, kind, protocol, udp=udp) == 0
    tcp = kind & 0xF == STREAM and protocol in (0, 6)
    granted = udp and kind & 0xF == DGRAM and protocol in (0, 17)
    inet = family in (AF_INET, AF_INET6) and (tcp or granted)
    assert passed == (inet or family == AF_UNIX or (family == AF_NETLINK and protocol == 0))


@pytest.mark.parametrize("native", NATIVE)
def test_namespaces_and_plain_forks(native: Abi) -> None:
    assert call(native, "unshare", CLONE_NEWUSER) == errno.EPERM
    assert call(native, "unshare", CLONE_NEWTIME) == errno.EPERM
    assert call(native, "unshare", 0x400) == 0  # CLONE_FILES
    assert call(native, "clone", CLONE_NEWUSER | SIGCHLD) == errno.EPERM
    assert call(native, "clone", CLONE_VM | SIGCHLD) == 0
    assert call(native, "clone", 0x1200011 | CLONE_NEWTIME) == 0  # a low bit is part of clone's signal


@pytest.mark.parametrize("native", NATIVE)
def test_typing_into_the_terminal(native: Abi) -> None:
    for high in (0, HIGH):  # the kernel reads 32 bits: the rest must not lead past the test
        assert call(native, "ioctl", 0, 0x5412 | high) == errno.EPERM
        assert call(native, "ioctl", 0, 0x541C | high) == errno.EPERM
        assert call(native, "ioctl", 0, 0x5401 | high) == 0


@given(st.integers(0, 0xFFFFFFFF))
def test_other_architectures_are_not_there(number: int) -> None:
    code = filter_of(X86_64, udp=True)
    assert run(code, I386.audit_arch, number) == errno.ENOSYS
    assert run(code, X86_64.audit_arch, number | X32_BIT) == errno.ENOSYS


def test_what_it_says_it_cannot_hold() -> None:
    dns = NetworkGrant(NetworkAction.CONNECT, "10.0.0.1", 53, Transport.UDP, ())
    assert not grants_udp(policy())
    assert grants_udp(Policy(network=(dns,)))
    assert "UDP" not in {gap.item for gap in gaps(Policy())}
    assert "UDP" in {gap.item for gap in gaps(Policy(network=(dns,)))}
