"""Far sides that answer at once, are polled, call back, or take a repeated start as the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.far_side import deployment
from tests.far_side.openai import OpenAIFarSide
from tests.far_side.replicate import ReplicateFarSide
from tests.workers.steps.worker import SETTINGS, with_hook


@pytest.fixture
def painter(tmp_path: Path) -> Iterator[Any]:
    """Answers at once."""
    with environment(SETTINGS), with_hook(OpenAIFarSide, tmp_path).running() as far:
        deployment.provider("painter", "openai", far.url, concurrency=1)
        yield far


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Any]:
    """Is polled, or calls back."""
    with environment(SETTINGS), with_hook(ReplicateFarSide, tmp_path).running() as far:
        deployment.provider("runner", "replicate", far.url, options={"webhook_secret": "WEBHOOK_SECRET"})
        yield far
