"""Anthropic's sandbox-runtime: ``srt --settings FILE`` (0.0.83)."""

import os

from learner.diagnosis.case import Fix
from learner.diagnosis.wrappers.wrapper import Remedy, Wrapper
from learner.errors import UsageError
from learner.names import to_text
from learner.targets.coarse import smallest
from learner.targets.importing import Imported
from learner.targets.settling import read_text, settle
from learner.targets.srt import SRT
from learner.targets.srt_reader import SRT as READER
from learner.variables import Variables

_DEFAULTS = '{"network": {}, "filesystem": {}}'
"""What srt does without a settings file: everything may be read, nothing written, nothing reached."""


class Srt(Wrapper):
    """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`."""

    name = "srt"
    hides = True

    def shows(self, link: str) -> bool:
        """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`: links in the root directory always are."""
        return os.path.dirname(link) == "/" or super().shows(link)

    def remedy(self, fix: Fix) -> Remedy:
        """See :class:`~learner.diagnosis.wrappers.wrapper.Wrapper`."""
        # srt resolves a link first: one to a directory would open all of that, and still not be there.
        directories = [g.path for g in fix.grants if os.path.islink(g.path) and os.path.isdir(g.path)]
        grants = tuple(grant for grant in fix.grants if grant.path not in directories)
        opened, words = smallest(grants)
        told = (
            *words,
            *self.to_be_made(one.path for one in opened),
            *(
                f"srt cannot show {to_text(path)}, a symlink to a directory: use what it leads to"
                for path in directories
            ),
        )
        return Remedy((), SRT.admit(grants, fix.network), told)


def parse(words: tuple[str, ...], variables: Variables) -> Srt:
    """The sandbox that ``words`` begin. Raises UsageError for words that are not understood, InputFileError."""
    settings = os.path.join(variables.home, ".srt-settings.json")
    todo = list(words[:0:-1])
    named = False
    while todo:
        flag, is_one_word, value = todo.pop().partition("=")
        if flag in ("-d", "--debug"):
            continue
        if flag not in ("-s", "--settings") or (not is_one_word and not todo):
            raise UsageError(f"--sandbox: {to_text(flag)!r} is not understood", "give 'srt --settings FILE'")
        settings, named = value if is_one_word else todo.pop(), True
    text = read_text(settings) if named or os.path.exists(settings) else _DEFAULTS
    imported: Imported = READER.read(text, to_text(settings), variables._replace(project=os.getcwd()))
    policy, gaps = settle(imported)
    return Srt(words, policy, network=False, notes=gaps)
