"""The formats as they are written, to be read: a change of one shows in the files beside ``fixtures/golden``.

``SBX_WRITE_GOLDEN=1`` writes them anew.
"""

import os
from pathlib import Path

import msgspec
import pytest
from samples import VARIABLES, VIBE

from learner.policy import NetworkAction, NetworkGrant
from learner.targets.nono import NONO
from learner.targets.nono_flags import NONO_FLAGS
from learner.targets.srt import SRT
from learner.targets.target import Request, Target
from tracers.events import Transport

GOLDEN = Path(__file__).parents[2] / "fixtures/golden"
MORE = (
    NetworkGrant(NetworkAction.CONNECT, "api.mistral.ai", 443, Transport.TCP, ()),
    NetworkGrant(NetworkAction.BIND, "127.0.0.1", 8080, Transport.TCP, ()),
)


@pytest.mark.parametrize("target", [NONO, NONO_FLAGS, SRT], ids=lambda target: target.name)
def test_as_it_was(target: Target) -> None:
    policy = msgspec.structs.replace(VIBE.policy, network=(*VIBE.policy.network, *MORE))
    profile = msgspec.structs.replace(VIBE, policy=policy)
    links = (("/home/ada/.config/gitconfig", "../.gitconfig"),)
    request = Request(profile, ("vibe", "-p", "it's here"), VARIABLES, ("/home/ada/.vibe/.env",), links)
    file = GOLDEN / f"vibe.{target.name}{target.suffix}"
    found = target.export(request).data
    if os.environ.get("SBX_WRITE_GOLDEN"):
        file.write_bytes(found)
    assert found.decode() == file.read_text()
