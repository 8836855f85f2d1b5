"""What a person sees on a terminal: a policy as a tree of directories, each grant with rights and reasons.

Every text comes from :mod:`learner.words` or is plain text, and goes into rich as :class:`~rich.text.Text`:
a file called ``[red]`` or holding escape codes is shown as it is.
"""

import os
from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text
from rich.tree import Tree

from learner import words
from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Scope, ServiceGrant
from learner.profile import Profile
from learner.variables import Variables

_INDENT = "    "
_DEEPEST = 8
"""Levels that are indented; deeper grants are listed by path, or nothing would be left of 80 columns."""


def make_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is; plain when it is no terminal or ``NO_COLOR`` is set."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, color_system=None if plain else "auto")


def grants_tree(profile: Profile, variables: Variables) -> RenderableType:
    """The policy of ``profile``: grants by directory, network endpoints below."""
    tree = Tree(_title(profile, variables), guide_style="dim")
    root = _Directory()
    for grant in profile.policy.grants:
        root.insert(variables.contract(grant.path).split("/"), grant)
    _grow(tree, root, variables, 0)
    if profile.policy.network:
        branch = tree.add(Text("network", style="bold"))
        for endpoint in profile.policy.network:
            branch.add(_endpoint_label(endpoint, variables))
    if profile.policy.services:
        branch = tree.add(Text("services of macOS", style="bold"))
        for service in profile.policy.services:
            branch.add(_service_label(service, variables))
    if profile.platform == "darwin" and (profile.policy.probes or profile.policy.links):
        branch = tree.add(Text("looked at, not opened", style="bold"))
        for path in sorted({*profile.policy.probes, *profile.policy.links}):
            branch.add(_folded(variables.contract(path)))
    return tree


class _Directory:
    """A node of the path tree; most have no grant of their own."""

    def __init__(self) -> None:
        self.children: dict[str, _Directory] = {}
        self.grants: list[Grant] = []

    def insert(self, parts: list[str], grant: Grant) -> None:
        """Put ``grant`` at ``parts`` below this node."""
        node = self
        for part in parts:
            if part or node is self:  # the empty part before the first slash is the root directory
                node = node.children.setdefault(part, _Directory())
        node.grants.append(grant)

    def entries(self) -> Iterator[tuple[str, "_Directory"]]:
        """Children with their names, sorted; a chain of lone directories is one entry with a longer name."""
        for name, child in sorted(self.children.items()):
            chain, last = [name], child
            while not last.grants and len(last.children) == 1:
                [(below, last)] = last.children.items()
                chain.append(below)
            yield "/".join(chain) or "/", last

    def descendants(self) -> Iterator[tuple[str, Grant]]:
        """Every grant below this node with its relative path, sorted."""
        stack = [("", self)]
        while stack:
            prefix, node = stack.pop()
            for grant in node.grants if prefix else ():
                yield prefix, grant
            for name, child in sorted(node.children.items(), reverse=True):
                stack.append((f"{prefix}/{name}" if prefix else name, child))


def _grow(tree: Tree, node: _Directory, variables: Variables, depth: int) -> None:
    if depth == _DEEPEST:
        for name, grant in node.descendants():
            tree.add(_grant_label(name, grant, variables))
        return
    for name, child in node.entries():
        if not child.grants:
            branch = tree.add(_folded(name if name == "/" else name + "/"))
        for grant in child.grants:
            branch = tree.add(_grant_label(name, grant, variables))
        _grow(branch, child, variables, depth + 1)


def _title(profile: Profile, variables: Variables) -> Text:
    policy = profile.policy
    title = Text(to_text(profile.name), style="bold", overflow="fold")
    title.append(f" runs {variables.contract(profile.command)}: ", style="not bold")
    title.append(f"{len(policy.grants)} grants on paths, {len(policy.network)} on the network", style="not bold")
    if policy.services:
        title.append(f", {len(policy.services)} on services of macOS", style="not bold")
    if profile.partial:
        title.append("\npartial: the recording was cut short, grants may be missing", style="yellow not bold")
    return title


def _grant_label(name: str, grant: Grant, variables: Variables) -> RenderableType:
    label = _folded(name if grant.scope is Scope.FILE else name.removesuffix("/") + "/**", "bold")
    label.append(f"  {words.rights_phrase(grant.rights)}", style="not bold green")
    if grant.ensure:
        label.append("  made when missing", style="not bold cyan")
    return _with_reasons(label, words.reasons(grant.witnesses, variables, grant.path))


def _endpoint_label(grant: NetworkGrant, variables: Variables) -> RenderableType:
    about = words.endpoint(grant)
    label = _folded(f"{grant.action} ")
    label.append(about, style="bold")
    return _with_reasons(label, words.reasons(grant.witnesses, variables, about))


def _service_label(grant: ServiceGrant, variables: Variables) -> RenderableType:
    label = _folded(words.service(grant, variables), "bold")
    return _with_reasons(label, words.reasons(grant.witnesses, variables, grant.name or grant.operation))


def _with_reasons(label: Text, reasons: list[str]) -> RenderableType:
    return Group(label, *(_Reason(reason) for reason in reasons or [words.BY_HAND]))


class _Reason:
    """A reason below its grant, indented on every line it takes; rich's Padding fills lines with blanks."""

    def __init__(self, text: str) -> None:
        self._text = _folded(text, "dim")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - len(_INDENT), 1)
        for line in self._text.wrap(console, width, overflow="fold"):
            line.rstrip()
            yield Text(_INDENT).append_text(line)


def _folded(text: str, style: str = "") -> Text:
    return Text(text, style=style, overflow="fold")
