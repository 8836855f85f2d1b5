"""A profile and its grants as JSON: stable keys, sorted lists, portable paths (``$HOME/.gitconfig``)."""

from typing import Any

from learner.names import to_text
from learner.policy import Grant, NetworkGrant, ServiceGrant, Witness, right_names
from learner.profile import Profile
from learner.variables import Variables
from learner.words import service_name


def profile_record(profile: Profile, variables: Variables) -> dict[str, Any]:
    """``{profile, command, platform, prefix, partial, variables{}, links[], probes[], grants[], network[],
    services[]}``.

    ``variables`` holds the directories that ``$HOME``, ``$PROJECT`` and so on stand for here.
    """
    variables = variables._replace(prefix=profile.prefix)
    return {
        "profile": to_text(profile.name),
        "command": variables.contract(profile.command),
        "platform": to_text(profile.platform),
        "prefix": to_text(profile.prefix),
        "partial": profile.partial,
        "variables": {name: to_text(directory) for name, directory in variables.items()},
        "links": [variables.contract(link) for link in profile.policy.links],
        "probes": [variables.contract(probe) for probe in profile.policy.probes],
        "grants": [grant_record(grant, variables) for grant in profile.policy.grants],
        "network": [network_record(grant, variables) for grant in profile.policy.network],
        "services": [service_record(grant, variables) for grant in profile.policy.services],
    }


def grant_record(grant: Grant, variables: Variables) -> dict[str, Any]:
    """``{path, scope, rights[], ensure, witnesses[{program, operations[], example, objects}]}``."""
    return {
        "path": variables.contract(grant.path),
        "scope": grant.scope.value,
        "rights": list(right_names(grant.rights)),
        "ensure": grant.ensure,
        "witnesses": _witness_records(grant.witnesses, variables),
    }


def network_record(grant: NetworkGrant, variables: Variables) -> dict[str, Any]:
    """``{action, host, port, transport, abstract, witnesses[]}``."""
    return {
        "action": grant.action.value,
        "host": to_text(grant.host),
        "port": grant.port,
        "transport": grant.transport.value,
        "abstract": grant.abstract,
        "witnesses": _witness_records(grant.witnesses, variables),
    }


def service_record(grant: ServiceGrant, variables: Variables) -> dict[str, Any]:
    """``{operation, name, witnesses[]}``."""
    return {
        "operation": to_text(grant.operation),
        "name": service_name(grant, variables),
        "witnesses": _witness_records(grant.witnesses, variables),
    }


def _witness_records(witnesses: tuple[Witness, ...], variables: Variables) -> list[dict[str, Any]]:
    return [
        {
            "program": to_text(witness.program),
            "operations": [operation.value for operation in witness.operations],
            "example": variables.contract(witness.example),
            "objects": witness.objects,
        }
        for witness in sorted(witnesses)
    ]
