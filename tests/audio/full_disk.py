"""A full disk, as a writer meets it: no file of this process can grow beyond a few bytes."""

import contextlib
import sys
from collections.abc import Iterator

import pytest

needs_limits = pytest.mark.skipif(sys.platform == "win32", reason="needs limits")


@contextlib.contextmanager
def full_disk(limit: int = 10_000) -> Iterator[None]:
    """No file can exceed `limit` bytes inside the block.

    A block and no fixture: pytest tells a test's outcome before its fixtures end, and where its own
    output goes to a file, that file must not be full.
    """
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
