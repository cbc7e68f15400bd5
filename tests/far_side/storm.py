"""Calls back that would hide a result: progress told after it, and forged ones.

Script of a far side, under "*": `storm` {`share` of the generations, `progress` calls, `forged` calls}.
"""

import contextlib
import json
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.far_side.media import drawn


def post(url: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Call back. False where nobody is there or it was refused: the client polls."""
    named = {"Content-Type": "application/json", **headers}
    with contextlib.suppress(OSError):
        urllib.request.urlopen(urllib.request.Request(url, body, named, method="POST"), timeout=5).close()
        return True
    return False


@dataclass(frozen=True, slots=True)
class Storm:
    """How many calls follow a result."""

    share: float = 0.0
    progress: int = 101
    forged: int = 5

    @classmethod
    def of(cls, script: Mapping[str, Any]) -> "Storm":
        return cls(**script.get("storm", {}))

    def blow(self, generation_id: str, url: str, progress: Callable[[int], tuple[bytes, Mapping[str, str]]]) -> None:
        """Call so often, where this generation is among those that it befalls."""
        if not drawn(generation_id, self.share):
            return
        for number in range(self.progress):
            post(url, *progress(number))
        for number in range(self.forged):
            body, headers = progress(number)
            told = {**json.loads(body), "status": "failed", "error": f"forged {number}"}
            post(url, json.dumps(told).encode(), headers)
