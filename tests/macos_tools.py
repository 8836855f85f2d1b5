"""Stand-ins for what a Mac has: ``sandbox-exec`` and ``log``, as programs, which replay a recorded session.

sandbox-exec puts each request of the session to sbx's judge of the profile that it was given, has the kernel's log say
what came of it, and becomes the command. ``log`` shows that log: whole, byte by byte, in bursts, cut off, or with loss.
"""

import enum
import sys
from pathlib import Path

from tracers.seatbelt import Tools

SESSION = Path(__file__).resolve().parent.parent / "fixtures/macos/session.ndjson"


class Mode(enum.StrEnum):
    """How the log arrives."""

    PLAIN = "plain"
    SLOW = "slow"
    BURSTY = "bursty"
    CUT = "cut"
    LOSS = "loss"
    COLD = "cold"
    SILENT = "silent"
    REFUSED = "refused"


_SANDBOX_EXEC = """#!{python} -P
import fcntl, json, os, sys
sys.path[:0] = {path!r}
from learner.access import Access, Kind
from learner.seatbelt.evaluate import Judge, Request
from learner.seatbelt.judged import request
from tracers.events import Endpoint, Opaque, Operation
from tracers.seatbelt_calls import understand
from tracers.seatbelt_log import LogReader

option, given, *words = sys.argv[1:]
profile = given if option == "-p" else open(given).read()
if {mode!r} == "refused":
    sys.exit("sandbox-exec: sandbox_apply: Operation not permitted")
judge = Judge(profile)

def said(found, tag):
    opened = "Sandbox: %s(%d) %s %s" % found[:4] + (" " if found[4] and found[3] != "network-bind" else "") + found[4]
    return opened + ("\\n" + tag if tag else "")

def answer(process, pid, operation, target, asked, denied=False):
    # None where the rule has nothing reported.
    found = judge.decide(asked)
    if found.admitted and not denied:
        return said((process, pid, "allow", operation, target), found.message) if found.reported else None
    return said((process, pid, "deny(1)", operation, target), found.message)

def messages():
    if words == [{reader!r}, "/private/etc/hosts"]:
        yield answer("cat", os.getpid(), "file-read-data", words[1], Request("file-read-data", words[1]))
        return
    if words == ["/usr/bin/true"]:
        yield answer("sandbox-exec", os.getpid(), "process-exec*", words[0], Request("process-exec*", words[0]))
        return
    reader = LogReader()
    for report in reader.feed(open({session!r}, "rb").read()):
        operation, target = understand(report.operation, report.target)
        pid = os.getpid() if report.pid == 5000 else os.getpid() + report.pid
        if isinstance(target, Endpoint):
            access = Access(operation, "", Kind.SOCKET, 0, 0, report.operation, endpoint=target)
        else:
            own = isinstance(target, Opaque)
            name = (report.operation + " " + target.text).rstrip() if own else os.fsdecode(target.opened)
            access = Access(operation, name, Kind.FILE, 0, 0, report.operation)
        asked = request(access)
        # What no rule is about (forbidden-exec-sugid) is denied by the kernel itself, as by the default.
        asked = asked or Request(report.operation, name=report.target)
        yield answer(report.process, pid, report.operation, report.target, asked, report.denied)

with open({kernel!r}, "a") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    for number, message in enumerate(filter(None, messages())):
        file.write(json.dumps({{"eventMessage": message, "eventType": "logEvent", "processID": 0,
            "senderImagePath": "/System/Library/Extensions/Sandbox.kext/Contents/MacOS/Sandbox",
            "timestamp": "2026-05-27 09:01:02.%06d-%d" % (number, os.getpid())}}).replace("/", "\\\\/") + "\\n")
if words[0] != {reader!r}:
    os.execv(words[0], words)
"""

_LOG = """#!{python} -P
import os, sys, time
mode = {mode!r}
if mode == "silent":
    sys.stderr.write("log: must be run as an administrator\\n")
    sys.exit(64)

def lines(position):
    with open({kernel!r}, "rb") as file:
        file.seek(position)
        data = file.read()
    end = data.rfind(b"\\n") + 1
    return data[:end].splitlines(keepends=True), position + end

def lossy(found, seen):
    for line in found:
        seen[0] += b"hosts" not in line
        if mode == "loss" and b"hosts" in line:
            yield b'{{"eventType":"lossEvent","lossCount":{{"count":1}}}}\\n'
        if mode == "loss" and b"hosts" not in line and seen[0] % 5 == 3:
            yield b'{{"eventType":"lossEvent","lossCount":{{"count":1}}}}\\n'
        else:
            yield line

def write(data):
    while data:
        data = data[os.write(1, data):]

write(b"Filtering the log data using \\"processID == 0\\"\\n")
seen = [0]
if sys.argv[1] == "show":
    found, _ = lines(0)
    for line in lossy(found, seen):
        write(line)
    write(b'{{"count":%d,"finished":1}}\\n' % len(found))
    sys.exit(0)
time.sleep(0.6 if mode == "cold" else 0.05)
position, held, cut = os.path.getsize({kernel!r}), [], 0
while True:
    found, position = lines(position)
    for line in lossy(found, seen):
        cut += b"hosts" not in line
        if mode == "cut" and cut == 7:
            write(line[:40])
            sys.exit(0)
        if mode == "slow":
            for byte in line:
                write(bytes([byte]))
        elif mode == "bursty":
            held.append(line)
        else:
            write(line)
    if held and not found:
        data, held = b"".join(held), []
        for start in range(0, len(data), 701):
            write(data[start:start + 701])
    time.sleep(0.02)
"""


def make_tools(directory: Path, mode: Mode = Mode.PLAIN, session: Path = SESSION) -> Tools:
    """The programs, in ``directory``."""
    kernel = directory / "kernel.log"
    kernel.touch()
    tools = Tools(str(directory / "log"), str(directory / "sandbox-exec"), "/bin/cat", patience=4.0)
    values = {
        "python": sys.executable,
        "path": [str(SESSION.parents[2])],
        "mode": mode.value,
        "reader": tools.reader,
        "session": str(session),
        "kernel": str(kernel),
    }
    for place, text in ((tools.log, _LOG), (tools.sandbox_exec, _SANDBOX_EXEC)):
        Path(place).write_text(text.format(**values))
        Path(place).chmod(0o755)
    return tools
