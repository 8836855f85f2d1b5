"""What an export is made of, read off this machine."""

import os
import shutil

from learner.command import find
from learner.enforcers.namespaces import farms
from learner.enforcers.view import HostView
from learner.errors import SbxError
from learner.floor import find_floor
from learner.policy import Policy
from learner.profile import Profile
from learner.targets.target import SANDBOXES, Request
from learner.variables import Variables


def request_for(profile: Profile, words: tuple[str, ...], variables: Variables) -> Request:
    """``profile`` for a launch of ``words``: with the sensitive objects that its trees hold here, and its links."""
    found = variables._replace(prefix=profile.prefix)
    policy = profile.policy
    denied = [mask.path for mask in find_floor(found).masks if _only_by_a_tree(policy, mask.path)]
    links = [(link, os.readlink(link)) for link in policy.links if os.path.islink(link)]
    installed = [(name, file) for name in SANDBOXES if (file := shutil.which(name))]
    return Request(
        profile,
        words,
        found,
        denied=tuple(sorted(denied)),
        links=tuple(sorted(links)),
        programs=tuple((name, os.path.realpath(file)) for name, file in installed),
        file=_file(words),
        view=HostView(),
        searched=farms(),
    )


def _file(words: tuple[str, ...]) -> str:
    try:
        return find(words).file
    except SbxError:
        return ""


def _only_by_a_tree(policy: Policy, path: str) -> bool:
    """Whether ``path`` is open because a directory above it is, rather than on its own account."""
    covering = [grant for grant in policy.grants if grant.covers(path)]
    meant = any(grant.path == path or grant.path.startswith(path + "/") for grant in policy.grants)
    return bool(covering) and not meant
