import errno

import pytest

from learner.access import Meaning, meaning
from tracers.events import Operation

ON_OBJECTS = [Operation.READ, Operation.LIST, Operation.WRITE, Operation.CONNECT, Operation.BIND, Operation.SEND]


@pytest.mark.parametrize("operation", Operation)
def test_success_is_done(operation: Operation) -> None:
    assert meaning(operation, 0) is Meaning.DONE


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("code", [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG])
def test_nothing_there_is_a_probe(operation: Operation, code: int) -> None:
    assert meaning(operation, code) is Meaning.PROBE


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_permission_is_a_refusal(operation: Operation, code: int) -> None:
    assert meaning(operation, code) is Meaning.REFUSED


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Operation.READ, errno.ENXIO),  # a FIFO nobody writes to, O_NONBLOCK
        (Operation.WRITE, errno.ETXTBSY),
        (Operation.CONNECT, errno.EINPROGRESS),
        (Operation.CONNECT, errno.ECONNREFUSED),
        (Operation.CONNECT, errno.ENETUNREACH),
        (Operation.CONNECT, errno.EHOSTUNREACH),
        (Operation.BIND, errno.EADDRINUSE),
        (Operation.BIND, errno.EADDRNOTAVAIL),
        (Operation.SEND, errno.EAGAIN),
        (Operation.RMDIR, errno.ENOTEMPTY),
        (Operation.EXEC, errno.ENOEXEC),  # a script without a first line: the shell reads it next
        (Operation.EXEC, errno.ETXTBSY),
    ],
)
def test_errors_of_the_object_itself_count_as_done(operation: Operation, code: int) -> None:
    assert meaning(operation, code) is Meaning.DONE


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        (Operation.CREATE, errno.EEXIST),
        (Operation.MKDIR, errno.EEXIST),
        (Operation.RENAME_FROM, errno.EXDEV),
        (Operation.STAT, errno.EAGAIN),
        (Operation.READ, errno.EMFILE),
        (Operation.REMOVE, errno.EISDIR),
    ],
)
def test_errors_that_come_before_permissions_say_nothing(operation: Operation, code: int) -> None:
    assert meaning(operation, code) is Meaning.FAILED
