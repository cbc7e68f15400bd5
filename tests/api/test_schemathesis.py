"""The whole OpenAPI document, as schemathesis reads it: no 500, no undocumented status, no answer that breaks its schema."""

import warnings
from collections.abc import Iterator

import pytest

from models import keys
from models.access import SCOPES
from models.db import transaction
from tests.support import System, account

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import schemathesis

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def api_schema(system: System) -> Iterator[schemathesis.BaseSchema]:
    with transaction() as conn:
        pass
    system.start("api", "worker", "scheduler", api={"FAILED_AUTH_PER_MINUTE": "1000000"})
    yield schemathesis.openapi.from_url(f"{system.url}/openapi.json")
    system.stop()
