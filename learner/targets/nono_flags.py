"""The ``nono run`` line that says what a nono profile would, for a terminal or a script of any POSIX shell."""

import os
import shlex
from collections.abc import Mapping

from learner.gaps import Gap
from learner.places import is_within
from learner.policy import Grant, NetworkGrant
from learner.targets.coarse import Outgoing, outgoing, smallest
from learner.targets.feature import Feature
from learner.targets.nono import reached, sensitive
from learner.targets.nono_terms import FLAGS, LACKS, Key, keys, terms, unfit
from learner.targets.target import Export, Request, remarks, temporary_of

_NETWORK = {
    "allow_domain": "--allow-domain",
    "connect_port": "--allow-connect-port",
    "listen_port": "--listen-port",
}
_OWN = Gap(
    "only what is granted",
    "without a profile nono opens system directories and /tmp besides: `--to nono` closes them",
)


class NonoFlagsTarget:
    """One line, under comments."""

    name = "nono-flags"
    suffix = ".sh"
    executable = False
    lacks: Mapping[Feature, str] = LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        found = terms(request, sensitive(request.profile.policy, request.variables), lists=False)
        gaps = (*found.gaps, _OWN)
        words = ["nono", "run"]
        for key, path in found.paths:
            words += [FLAGS[key], path]
        words += network_flags(found.net)
        project = request.variables.project
        if any(key in (Key.ALLOW, Key.READ) and is_within(project, path) for key, path in found.paths):
            words.append("--allow-cwd")  # it is granted: nono need not ask
        words += ["--", *request.words]
        for temporary in temporary_of(request, (path for _, path in found.paths)):
            words = ["env", f"TMPDIR={temporary}", *words]
        lines = [*(f"# {remark}" for remark in remarks(request, gaps)), shlex.join(words)]
        return Export(b"\n".join(map(os.fsencode, lines)) + b"\n", gaps)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """A flag with its value, quoted for a shell, in each line."""
        found = flags(grants, network)
        return tuple(shlex.join(found[at : at + 2]) for at in range(0, len(found), 2))


def flags(grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
    """Flags, each with its value, by which ``grants`` and ``network`` are admitted."""
    words: list[str] = []
    for one in smallest(grants)[0]:
        if not unfit(one.path, lists=False):
            words += [word for key in keys(one) for word in (FLAGS[key], one.path)]
    return (*words, *(word for key, value in reached(outgoing(network)) for word in (_NETWORK[key], str(value))))


def network_flags(net: Outgoing) -> list[str]:
    """The flags of what may be reached, and that nothing else may."""
    if net.everything:
        return []
    words = [word for key, value in reached(net) for word in (_NETWORK[key], str(value))]
    return words if net.names else ["--block-net", *words]


NONO_FLAGS = NonoFlagsTarget()
