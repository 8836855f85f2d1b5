"""The one word of a program's arguments: the same from every tracer, and never a value."""

import shutil
import sys
from collections.abc import Callable, Container

import pytest
from capability import require
from hypothesis import example, given
from hypothesis import strategies as st

from tracers.events import Event, Operation, PathTarget
from tracers.ptrace import PtraceTracer
from tracers.strace import StraceTracer
from tracers.tracer import Command, Tracer
from tracers.words import KEPT_BACK, LONGEST, plain_word

TRIED = {
    "": [],
    "status": ["status", "hunter2"],
    "-lc": ["-lc", "curl -H 'Authorization: Bearer sk-1'"],
    "--no-pager": ["--no-pager"],
    "a" * LONGEST: ["a" * LONGEST],
}
KEPT = ("a" * (LONGEST + 1), "hunter2", "Secret", "x=y", "/etc/passwd", "-p=x", "a\nb", "", "--", "-", '"]', "é")
SCRIPT = """
import os, sys
for words in eval(sys.argv[1]):
    if os.fork() == 0:
        try:
            os.execv("/bin/true", ["true", *words])
        finally:
            os._exit(1)
    os.wait()
"""


class Words:
    """A sink that keeps the words of what was exec'd."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def event(self, event: Event) -> bool:
        if event.operation is Operation.EXEC and event.target == PathTarget(b"/bin/true"):
            self.found.append(event.word)
        return False

    def forget(self) -> None:
        pass

    def links(self) -> Container[str]:
        return ()


@pytest.mark.kernel
@pytest.mark.parametrize("tracer", [PtraceTracer, StraceTracer])
def test_words_are_told_and_values_are_not(tracer: Callable[[], Tracer]) -> None:
    require(tracer is PtraceTracer or shutil.which("strace"), "strace is not installed")
    tried = [*TRIED.values(), *([word] for word in KEPT), ["x"] * 300]
    sink = Words()
    end = tracer().run(Command(sys.executable, (sys.executable, "-I", "-S", "-c", SCRIPT, repr(tried))), sink)
    assert (end.status, end.lost) == (0, 0)
    assert sink.found == [*TRIED, *([KEPT_BACK] * len(KEPT)), "x"]


@given(st.binary(max_size=40) | st.text("ab-X1/=", max_size=30).map(str.encode))
@example(b"ghp-abcdefghijklmnopqrstuvwxyz")
def test_only_plain_words_get_out(argument: bytes) -> None:
    word = plain_word(argument)
    assert word == KEPT_BACK or (word.encode() == argument and len(word) <= LONGEST)
    assert word == KEPT_BACK or (word.replace("-", "").isalpha() and word.islower())
