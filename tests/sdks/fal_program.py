"""fal's library for Python in a program of its own settings: it reads them as it is imported."""

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from tests.conftest import environment
from tests.sdks.house import SdkHouse


@contextmanager
def library(house: SdkHouse) -> Iterator[ModuleType]:
    """The library as a program has it that was started with a house's addresses."""
    hosts = {"FAL_RUN_HOST": f"{house.host}/compat/fal/run", "FAL_QUEUE_RUN_HOST": f"{house.host}/compat/fal/queue"}
    with environment(hosts):
        yield fresh()
    gc.collect()


def fresh() -> ModuleType:
    """The library, which reads its variables when it is imported."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "fal_client"]:
        del sys.modules[name]
    return importlib.import_module("fal_client")
