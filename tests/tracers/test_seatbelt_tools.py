"""Programs of a Mac that are not what they should be: each ends in a sentence, and in time."""

from pathlib import Path

import pytest
from macos_tools import make_tools

from learner.enforcers.seatbelt import SeatbeltEnforcer
from learner.errors import MachineError
from learner.policy import Policy
from tracers.seatbelt import SeatbeltTracer
from tracers.tracer import Command, TracerError

TRUE = Command("/bin/true", ("true",))


class Nowhere:
    def event(self, _event: object) -> bool:
        return True

    def forget(self) -> None:
        """Nothing is kept."""

    def links(self) -> tuple[str, ...]:
        return ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no program", "cannot be started: Exec format error"),
        ("#!/bin/sh\necho Filtering\nexec sleep 60\n", "does not show what the sandbox reports"),
        ("#!/bin/sh\nhead -c 300000 /dev/urandom\nexec sleep 60\n", "does not show what the sandbox reports"),
        ("#!/bin/sh\nyes | head -c 300000 >&2\nexec sleep 60\n", "does not show what the sandbox reports"),
        ("#!/bin/sh\necho boom >&2\nexit 71\n", r"ended with status 71 \(boom\)"),
    ],
)
def test_a_log_that_is_none(text: str, says: str, tmp_path: Path) -> None:
    tools = make_tools(tmp_path)._replace(patience=1.0)
    Path(tools.log).write_text(text)
    with pytest.raises(TracerError, match=says):
        SeatbeltTracer(tools=tools).run(TRUE, Nowhere())


def test_a_sandbox_exec_that_is_none(tmp_path: Path) -> None:
    tools = make_tools(tmp_path)
    Path(tools.sandbox_exec).write_text("no program")
    with pytest.raises(TracerError, match="cannot be started"):
        SeatbeltTracer(tools=tools).run(TRUE, Nowhere())
    with pytest.raises(MachineError, match="cannot be started"):
        SeatbeltEnforcer(tools).prepare(Policy()).wrap(TRUE)
