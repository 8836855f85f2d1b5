"""Why a run ended as it did, beside files: the network, refused system calls, signals, the environment."""

import errno
import signal
import stat

from learner.diagnosis.case import Case, Certainty, Severity, Trouble
from learner.diagnosis.rule import Rule, Said, name
from tracers.events import Family, Operation, Transport

_DNS = 53
_NAMED = 6
"""Variables that are named; more are counted."""
_NAMESPACES = frozenset({Operation.MOUNT, Operation.NAMESPACE})
_ENDS = {
    signal.SIGSYS: ("a system call that its seccomp filter forbids", "allow that call, or use another program"),
    signal.SIGXCPU: ("its limit of CPU time", "raise it: --limit, or ulimit -t"),
    signal.SIGXFSZ: ("its limit of file size", "raise it: ulimit -f"),
    signal.SIGSEGV: ("a fault of its own in memory", "if it does so unconfined, too, it is no matter of grants"),
    signal.SIGABRT: ("its own decision to abort", "its last message says why"),
    signal.SIGBUS: ("a file that shrank, or a fault in memory", "look for a full /dev/shm or disk"),
}


def _dns(_case: Case, trouble: Trouble) -> Said | None:
    end = trouble.access.endpoint
    to_server = end is not None and end.port == _DNS
    if not (trouble.access.operation is Operation.RESOLVE or to_server) or not (trouble.refused or trouble.recorded):
        return None
    what = f" of {trouble.subject}" if trouble.access.operation is Operation.RESOLVE else f" at {trouble.subject}"
    return Said(f"{trouble.program} may not look up host names{what}: the name server is not granted")


def _abstract(_case: Case, trouble: Trouble) -> Said | None:
    end = trouble.access.endpoint
    if end is None or end.family is not Family.ABSTRACT or not trouble.refused:
        return None
    return Said(f"{trouble.program} may not reach the abstract unix socket {name(trouble.subject)}")


def _bind(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.endpoint is None or trouble.access.operation is not Operation.BIND or not trouble.refused:
        return None
    return Said(f"{trouble.program} may not listen on {name(trouble.subject)}: nothing grants to bind it")


def _network(_case: Case, trouble: Trouble) -> Said | None:
    end = trouble.access.endpoint
    if end is None or not trouble.refused:
        return None
    kind = "port" if end.transport is Transport.TCP else end.transport
    return Said(f"{trouble.program} may not connect to {name(trouble.subject)}: {kind} {end.port} is not granted")


def _unreachable(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.endpoint is None or trouble.refused:
        return None
    if trouble.access.outcome == errno.ECONNREFUSED:
        why, remedy = "nobody listens there", "start what should answer: no grant can help"
    else:
        why, remedy = "the sandbox has a network of its own", "grant a host: `sbx run --network`"
    return Said(f"{trouble.program} could not reach {name(trouble.subject)}: {why}", remedy)


def _nested(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation not in _NAMESPACES:
        return None
    return Said(
        f"{trouble.program} tried to build a sandbox of its own ({trouble.access.call}), which is refused in one",
        "switch its own sandbox off: this one holds it",
    )


def _call(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation not in (Operation.PTRACE, Operation.IO_URING, Operation.FOREIGN):
        return None
    if trouble.access.outcome not in (errno.EPERM, errno.ENOSYS, errno.EACCES):
        return None
    sentence = f"{trouble.program} may not call {trouble.access.call}: the sandbox's filter of system calls refuses it"
    return Said(sentence, "no grant can help: programs usually fall back")


def _setuid(case: Case) -> Said | None:
    if not case.failed:
        return None
    for access in case.accesses:
        if access.operation is Operation.EXEC and not access.outcome:
            mode = case.machine.mode(access.object)
            if mode & stat.S_ISUID and stat.S_ISREG(mode):
                return Said(
                    f"{name(access.object)} is setuid, and keeps the user's rights in a sandbox (no_new_privs)",
                    "no grant can help: do what needs other rights outside of the sandbox",
                )
    return None


def _waiting(case: Case) -> Said | None:
    if not case.waiting:
        return None
    return Said(
        f"the command did not end in time: {case.waiting}", "give it more time with --timeout, or what it waits for"
    )


def _killed(case: Case) -> Said | None:
    number = case.status - 128
    if case.waiting or case.status == case.expected or number not in {each.value for each in signal.Signals}:
        return None
    which = signal.Signals(number)
    if which not in _ENDS:
        return None
    why, remedy = _ENDS[which]
    return Said(f"the command was killed by {which.name}: {why}", remedy)


def _out_of_memory(case: Case) -> Said | None:
    if case.waiting or case.status != 128 + signal.SIGKILL or case.expected == case.status:
        return None
    return Said(
        "the command was killed by SIGKILL, which the kernel sends when memory runs out",
        "give it more memory (--limit memory=…), and look at `dmesg` or memory.events",
    )


def _environment(case: Case) -> Said | None:
    if not case.failed or not case.unset:
        return None
    names = ", ".join(case.unset[:_NAMED]) + (f" and {len(case.unset) - _NAMED} more" if case.unset[_NAMED:] else "")
    recorded = "" if case.good is None else ", as the recorded run did"
    return Said(f"the command did not get {names} in its environment{recorded}", "pass it on")


NETWORK = (
    Rule("dns", "host names may not be looked up", Severity.USUAL, _dns),
    Rule("abstract-socket", "an abstract unix socket is refused", Severity.USUAL, _abstract),
    Rule("bind", "a port may not be listened on", Severity.USUAL, _bind),
    Rule("network", "a host or port is not granted", Severity.USUAL, _network),
    Rule("unreachable", "a host cannot be reached, granted or not", Severity.USUAL, _unreachable),
    Rule("nested-sandbox", "a sandbox within the sandbox, user namespaces", Severity.USUAL, _nested),
    Rule("system-call", "a system call is refused (seccomp: EPERM, ENOSYS)", Severity.QUIET, _call),
)
ENDS = (
    Rule("out-of-memory", "killed by SIGKILL: memory ran out", Severity.USUAL, None, _out_of_memory, Certainty.LIKELY),
    Rule("killed", "killed by a signal (SIGSYS: seccomp)", Severity.USUAL, None, _killed, Certainty.LIKELY),
    Rule(
        "environment",
        "an environment variable is not passed (HOME)",
        Severity.USUAL,
        None,
        _environment,
        Certainty.LIKELY,
    ),
    Rule("waiting", "the command hangs: what it waits for", Severity.USUAL, None, _waiting),
    Rule("setuid", "a setuid program under no_new_privs", Severity.USUAL, None, _setuid, Certainty.POSSIBLE),
)
