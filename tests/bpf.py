"""Classic BPF as far as our seccomp filters use it (linux/filter.h, seccomp(2)): what a filter says of a call."""

import struct

ALLOW, ERRNO = 0x7FFF0000, 0x00050000  # linux/seccomp.h
_LD, _JA, _JEQ, _JGE, _JSET, _AND, _RET = 0x20, 0x05, 0x15, 0x35, 0x45, 0x54, 0x06


def verdict(program: bytes, arch: int, number: int, *args: int) -> int:
    """What the kernel would return for a call."""
    padded = (*args, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *(a & 0xFFFFFFFFFFFFFFFF for a in padded))
    code = [struct.unpack_from("=HBBI", program, i) for i in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        op, yes, no, value = code[at]
        at += 1
        if op == _LD:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif op == _AND:
            accumulator &= value
        elif op == _JA:
            at += value
        elif op == _JEQ:
            at += yes if accumulator == value else no
        elif op == _JGE:
            at += yes if accumulator >= value else no
        elif op == _JSET:
            at += yes if accumulator & value else no
        elif op == _RET:
            return int(value)
        else:
            raise AssertionError(hex(op))
