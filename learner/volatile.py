"""Names that change from run to run, recognised by their shape (seen in real agents' traces)."""

import re

_SHAPES = re.compile(
    r"""
      [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}   # uuid
    | (?<![0-9A-Za-z])(?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,}(?![0-9A-Za-z])   # hex ids, content hashes
    | \d{6,}                                                          # dates, times, long ids
    | ^tmp[a-z0-9_]{8}($|\.)                                          # Python's tempfile
    | ^cc[A-Za-z0-9]{6}\.                                             # gcc
    | \.[A-Za-z0-9]{6,10}\.tmp$ | \.tmp\.\d+                          # editors, atomic replacement
    | ^[0-9]+\.sock$
    """,
    re.VERBOSE,
)


def is_volatile(name: str) -> bool:
    """Whether a single file name looks as if it will be another one in the next run."""
    return _SHAPES.search(name) is not None
