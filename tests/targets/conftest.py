"""Where exported policies are tried."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from exporting import Yard, lay_out


@pytest.fixture
def yard() -> Iterator[Yard]:
    """A home that is not in /tmp, which other sandboxes open or replace by themselves."""
    top = Path(tempfile.mkdtemp(prefix="sbx-test-", dir="/var/tmp")).resolve()
    try:
        yield lay_out(top)
    finally:
        shutil.rmtree(top)
