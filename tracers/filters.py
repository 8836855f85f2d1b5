"""Handing a BPF program to the kernel (seccomp(2)). Imports little: it stands before every confined start."""

import ctypes
import os
import struct

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2  # linux/prctl.h, linux/seccomp.h


class Filter:
    """A filter made ready before the fork, so that the child only has to hand it to the kernel."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        fprog = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(self._code))
        self._fprog = ctypes.create_string_buffer(fprog, len(fprog))
        self.address = ctypes.c_void_p(ctypes.addressof(self._fprog))
        """Where its ``struct sock_fprog`` is."""
        self._prctl = ctypes.CDLL(None, use_errno=True).prctl

    def install(self) -> None:
        """Set no_new_privs and this filter on the calling thread; it stays over exec. Raises OSError."""
        self.forbid_privileges()
        zero = ctypes.c_ulong(0)
        if self._prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), self.address, zero, zero):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def forbid_privileges(self) -> None:
        """Set no_new_privs on the calling thread, as the kernel asks of ordinary users. Raises OSError."""
        zero = ctypes.c_ulong(0)
        if self._prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
