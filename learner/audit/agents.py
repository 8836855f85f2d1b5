"""The agents whose configuration is audited. Another agent is one more module and one more line here."""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

from learner.audit import vibe, vibecoding
from learner.audit.context import Context, Source
from learner.audit.finding import Rule
from learner.errors import UsageError
from learner.names import to_text


class Agent(NamedTuple):
    """``sources``: its files for an account and project, whether or not they exist. ``recognised``: one by its name.

    ``rules``: every rule that its files are audited by.
    """

    name: str
    sources: Callable[[Context], Iterator[Source]]
    recognised: Callable[[str], Source | None]
    rules: tuple[Rule, ...]  # type: ignore[type-arg]


AGENTS: tuple[Agent, ...] = (
    Agent("vibe", vibe.sources, vibe.recognised, (*vibe.RULES, *vibe.TRUST, *vibe.ENVIRONMENT)),
    Agent(
        "vibecoding",
        vibecoding.sources,
        vibecoding.recognised,
        tuple(dict.fromkeys((*vibecoding.SETTINGS, *vibecoding.GATEWAY, *vibecoding.ALLOW))),
    ),
)


def sources(context: Context) -> tuple[Source, ...]:
    """Every file that any of the agents reads, whether or not it exists."""
    return tuple(source for agent in AGENTS for source in agent.sources(context))


def recognised(path: str, context: Context) -> Source:
    """How to audit the file at ``path``. Raises UsageError where no agent knows such a file."""
    for source in sources(context):
        if os.path.abspath(path) == source.path:
            return source._replace(path=path)
    for agent in AGENTS:
        source_ = agent.recognised(path)
        if source_ is not None:
            return source_
    raise UsageError(
        f"{to_text(path)} is no configuration that sbx knows",
        "name a config.toml, agents/*.toml, trusted_folders.toml, settings.json, gateway.json, allow.json or .env",
    )
