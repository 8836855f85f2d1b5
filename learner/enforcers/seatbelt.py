"""The macOS sandbox: sandbox-exec puts a command under a profile of ours, for good, with all that it starts.

Apple calls the program deprecated and ships it all the same; the profile is written by :mod:`learner.seatbelt.emit`.
"""

import ctypes
import errno
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterable

from learner.access import Access
from learner.enforcers.enforcer import Strength
from learner.errors import MachineError
from learner.floor import Floor
from learner.gaps import Gap
from learner.places import is_within
from learner.policy import Policy, Right
from learner.seatbelt.denied import denied_within
from learner.seatbelt.emit import emit, masking, text
from learner.seatbelt.services import KEYCHAIN, REACHES
from learner.variables import home_directory
from tracers import seatbelt
from tracers.seatbelt import Tools
from tracers.tracer import Command

_LONGEST = 200_000
"""Bytes of a profile that is passed as a word: all words together may have 1 MiB (ARG_MAX, sys/syslimits.h)."""
_HELD = (
    Gap("hosts", "the sandbox knows localhost and everywhere: a granted port is open on every host"),
    Gap("inherited descriptors", "what the one who starts it has open, and does not close on exec, stays open"),
    Gap("kinds of rights", "files and directories are made, and removed, by one right; a tree that is read is listed"),
    Gap("moving between directories", "a rename is a removal and a creation: where both are granted it is too"),
)


def can_apply() -> bool:
    """Whether this process can restrict itself: sandbox_init(3), deprecated as the whole sandbox, is still there."""
    return hasattr(ctypes.CDLL(None), "sandbox_init")


Write = Callable[[str, bool], str]
"""(tag, whether the log is to tell of what is admitted) to a profile."""


class SeatbeltConfinement:
    """One profile, with a tag of its own, so that the log tells its denials from others'."""

    supervised = False

    def __init__(self, write: Write, gaps: Iterable[Gap], tools: Tools) -> None:
        self.tools = tools
        self._program = tools.sandbox_exec
        self.tag = f"sbx-{secrets.token_hex(8)}"
        self._write = write
        self.profile = write(self.tag, False)
        self.gaps = tuple(sorted(set(gaps)))
        self.strength = Strength.PARTIAL
        self._descriptor = -1

    def report(self) -> None:
        """Have the log tell of what is admitted too, or nobody sees what of the policy a run needs."""
        self.profile = self._write(self.tag, True)

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`. The command's ``argv[0]`` becomes its file's path.

        Raises MachineError if the profile's compiler refuses it.
        """
        self._compile()
        words = (*self._started(self.profile), command.file, *command.argv[1:])
        return Command(self._program, words, self._confine)

    def _started(self, profile: str) -> tuple[str, ...]:
        """sandbox-exec with a profile: as a word, or by a descriptor on a file that nothing leads to."""
        if len(profile) <= _LONGEST:
            return self._program, "-p", profile
        with tempfile.TemporaryFile() as file:
            file.write(profile.encode())
            file.flush()
            self.close()
            self._descriptor = os.dup(file.fileno())
        return self._program, "-f", f"/dev/fd/{self._descriptor}"

    def _confine(self) -> None:
        """In the child: let sandbox-exec have the profile, from its beginning."""
        if self._descriptor >= 0:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.set_inheritable(self._descriptor, True)

    def _compile(self) -> None:
        """Have the profile compiled, with a last rule that lets the trial do anything."""
        words = (*self._started(self.profile + "(allow default)\n"), "/usr/bin/true")
        self._confine()
        kept = (self._descriptor,) if self._descriptor >= 0 else ()
        try:
            trial = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, pass_fds=kept)
        except OSError as problem:
            raise MachineError(
                f"{self._program} cannot be started: {problem.strerror}", "it is a part of macOS: see docs/macos.md"
            ) from None
        if trial.returncode:
            said = trial.stderr.decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else f"status {trial.returncode}"
            raise MachineError(
                f"sandbox-exec refuses: {reason}", "sbx cannot run inside another sandbox; else see docs/macos.md"
            )

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`: by sandbox_init(3), for probes."""
        if not can_apply():
            raise OSError(errno.ENOSYS, "the sandbox of macOS is not here")
        library = ctypes.CDLL(None, use_errno=True)
        problem = ctypes.c_char_p()
        if library.sandbox_init(self.profile.encode(), ctypes.c_uint64(0), ctypes.byref(problem)) != 0:
            raise OSError(errno.EPERM, (problem.value or b"sandbox_init failed").decode(errors="replace"))

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def masked_by(floor: Floor, tag: str, *, report: bool = False) -> str:
    """The profile of a floor. The keychain stays open if its directory does: the user asked for it."""
    keychain = os.path.realpath(home_directory()) + "/Library/Keychains"
    keychain_open = not any(is_within(keychain, mask.path) for mask in floor.masks)
    services = set(REACHES) - set(KEYCHAIN if keychain_open else ())
    paths = [mask.path for mask in floor.masks]
    return masking(paths, services, tag, there=filter(os.path.lexists, paths), report=report)


class SeatbeltEnforcer:
    """Confines by sandbox-exec. ``tools``: the programs that are used; only tests give others."""

    name = "seatbelt"
    hides = False

    def __init__(self, tools: Tools | None = None) -> None:
        self._tools = tools or seatbelt.TOOLS

    def prepare(self, policy: Policy) -> SeatbeltConfinement:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        emitted = emit(policy, denied_within(policy, os.path.realpath(home_directory())))

        def write(tag: str, report: bool) -> str:
            return text(emitted, tag=tag, report=report)

        return self._confinement(write, (*_HELD, *emitted.gaps))

    def mask(self, floor: Floor) -> SeatbeltConfinement:
        """Everything is open but what ``floor`` masks, and the services that act outside. Raises MachineError."""

        def write(tag: str, report: bool) -> str:
            return masked_by(floor, tag, report=report)

        return self._confinement(write, floor.gaps)

    def _confinement(self, write: Write, gaps: Iterable[Gap]) -> SeatbeltConfinement:
        program = self._tools.sandbox_exec
        if not os.access(program, os.X_OK):
            raise MachineError(
                f"{program} is missing or cannot be executed: nothing here can hold a profile",
                "it is a part of macOS; if Apple has removed it, export the profile to a sandbox that you have",
            )
        return SeatbeltConfinement(write, gaps, self._tools)

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        return rights & ~Right.MOVE

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`: everything that the log can tell of."""
        return True
