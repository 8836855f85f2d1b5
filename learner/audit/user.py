"""The user's own configuration of an agent, where another part of the audit needs to know what it says."""

import os
from typing import Any

from learner.audit import vibe
from learner.audit.context import Context, Layer
from learner.audit.document import Format, read


def vibe_tables(context: Context) -> dict[str, Any]:
    """What the user's config.toml of Vibe says, {} if there is none. Raises InputFileError where it is no TOML."""
    for source in vibe.sources(context):
        if source.layer is Layer.USER and source.rules is vibe.RULES and os.path.isfile(source.path):
            return read(source.path, Format.TOML).data
    return {}
