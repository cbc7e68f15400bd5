"""A Cog model that does as its input says and writes down each run, so that a test can count them."""

import os
import tempfile
import time
from pathlib import Path as File
from typing import Any

from cog import BaseRunner, Path


class Runner(BaseRunner):
    """Run by the real Cog server in test_cog.py."""

    def setup(self) -> None:
        time.sleep(float(os.environ.get("COG_SETUP_SECONDS", "0")))

    def run(
        self,
        prompt: str = "x",
        answer: str = "text",
        sleep_seconds: float = 0.0,
        picture: Path = None,
    ) -> Any:
        with File(os.environ["COG_RUNS"]).open("a") as book:
            book.write(f"{prompt}\n")
        until = time.time() + sleep_seconds
        while time.time() < until:
            time.sleep(0.05)
        if answer == "fail":
            raise ValueError("the model could not do it")
        if answer == "crash":
            os._exit(1)
        if answer == "nothing":
            return None
        file = File(tempfile.mkdtemp()) / "result.png"
        given = File(str(picture)).read_bytes() if picture is not None else prompt.encode()
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + given)
        answers: dict[str, Any] = {
            "file": Path(file),
            "files": [Path(file), Path(file)],
            "dict": {"image": Path(file), "seed": 7},
            "numbers": {"seed": 7},
            "words": ["one ", "word"],
        }
        return answers.get(answer, prompt.upper())
