"""Taking over the listener of a command that a keeper forked."""

import errno
import os

from tracers.keeper import Keeper
from tracers.listener import Listener, ListenerFilter, borrow, wake_synchronously
from tracers.permission import not_permitted
from tracers.tracer import TracerError


def take(code: ListenerFilter, pid: int, keeper: Keeper) -> Listener | None:
    """The listener of the command ``pid``, which then goes on; None if it failed before (``Launch.outcome`` tells).

    Raises TracerError if there can be none here.
    """
    number = code.number()
    if number == -errno.EBUSY:
        code.abandon()
        raise TracerError(
            "another supervisor already takes the notifications of this process (a container, or sbx itself)",
            "use --tracer ptrace",
        )
    if number < 0:
        code.abandon()
        raise TracerError(f"seccomp refused a listener: {os.strerror(-number)}", "use --tracer ptrace")
    if number == 0:
        code.abandon()
        return None
    try:
        listener = Listener(borrow(pid, number))
    except OSError as problem:
        code.abandon()
        raise not_permitted(problem.errno or errno.EPERM) from None
    keeper.hold(number)
    wake_synchronously(listener.fd)
    code.taken()
    return listener
