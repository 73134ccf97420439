from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings

from mvcc_kv.server.logs import logger

settings.register_profile("replayable", deadline=None, print_blob=True)
settings.load_profile("replayable")


@pytest.fixture(autouse=True)
def logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server logs, whatever was configured before."""
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers[:], logger.propagate = [], True
    with caplog.at_level(logging.DEBUG, logger.name):
        yield caplog
    logger.handlers[:], logger.level, logger.propagate = before
