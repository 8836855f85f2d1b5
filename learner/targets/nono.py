"""nono's profiles: JSON for its schema ``nono-profile.schema.json`` (https://docs.nono.sh, profile authoring)."""

import json
import re
from collections.abc import Mapping
from typing import Any

from learner.places import is_within
from learner.policy import Grant, NetworkGrant, Policy
from learner.sensitive import Catalogue
from learner.targets.coarse import Outgoing, outgoing, smallest
from learner.targets.feature import Feature
from learner.targets.nono_terms import LACKS, OWN_GROUPS, Key, keys, terms, unfit
from learner.targets.target import Export, Request, remarks, temporary_of
from learner.variables import Variables

_ACCESS = {Key.ALLOW: "readwrite", Key.READ: "read", Key.WRITE: "write"}


class NonoTarget:
    """A profile file, for ``nono run --profile FILE --allow-cwd -- COMMAND``."""

    name = "nono"
    suffix = ".json"
    executable = False
    lacks: Mapping[Feature, str] = LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        found = terms(request, sensitive(request.profile.policy, request.variables), lists=True)
        variables = request.variables
        project = variables.project if variables.places.has_project else ""
        access = "none"
        lists: dict[str, list[str]] = {}
        for key, path in found.paths:
            if path == project and key in _ACCESS:
                access = _ACCESS[key]
            else:
                lists.setdefault(key.value, []).append(_portable(path, project, variables.home))
        document: dict[str, Any] = {
            "meta": {"name": _slug(request.profile.name), "description": "\n".join(remarks(request, found.gaps))},
            "groups": {"exclude": list(OWN_GROUPS)},
            "workdir": {"access": access},
            "filesystem": {key: sorted(paths) for key, paths in lists.items()},
            "network": _network(found.net),
        }
        for temporary in temporary_of(request, (path for _, path in found.paths)):
            document["environment"] = {"set_vars": {"TMPDIR": temporary}}
        return Export(json.dumps(document, indent=2).encode() + b"\n", found.gaps)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """Documents of one line each, to be merged into the profile."""
        wanted = [
            (key, one.path) for one in smallest(grants)[0] for key in keys(one) if not unfit(one.path, lists=True)
        ]
        lines = [json.dumps({"filesystem": {key.value: [path]}}) for key, path in wanted]
        return (*lines, *(json.dumps({"network": {key: [value]}}) for key, value in reached(outgoing(network))))


def sensitive(policy: Policy, variables: Variables) -> tuple[str, ...]:
    """What ``policy`` grants although it is sensitive: nono refuses some of it unless it is told not to."""
    catalogue = Catalogue(variables.home)
    return tuple(sorted({g.path for g in policy.grants if catalogue.match(g.path, g.rights) is not None}))


def reached(net: Outgoing) -> tuple[tuple[str, str | int], ...]:
    """(key of ``network``, value) for what may be reached."""
    ports = sorted({port for _, port in net.addresses} | {*net.anywhere})
    return (
        *(("allow_domain", name) for name in sorted({name for name, _ in net.names})),
        *(("connect_port", port) for port in ports if port),
        *(("listen_port", port) for port in net.listen if port),
    )


def _network(net: Outgoing) -> dict[str, Any]:
    if net.everything:
        return {"block": False}
    lists: dict[str, Any] = {}
    for key, value in reached(net):
        lists.setdefault(key, []).append(value)
    return lists if net.names else {"block": True, **lists}


def _portable(path: str, project: str, home: str) -> str:
    """``path`` with nono's own variables for the project and the home directory: it holds no other ``$``."""
    for directory, variable in ((project, "$WORKDIR"), (home, "$HOME")):
        if directory not in ("", "/") and is_within(path, directory):
            return variable + path[len(directory) :]
    return path


def _slug(name: str) -> str:
    """A name that nono accepts: letters, digits and inner hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "learned"


NONO = NonoTarget()
