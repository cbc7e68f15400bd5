"""S3 (obstore puts, boto3 all else), Redis, and files."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import obstore
import redis
from botocore import exceptions as boto
from botocore.client import BaseClient
from obstore.exceptions import GenericError
from redis.client import Pipeline, Redis

from tests.sweep.boundary import Boundary

PUT = ("fail", "refused", "lost", "hang", "dropped", "damaged", "kill")
ASK = ("fail", "refused", "hang", "kill")
READ = (*ASK[:-1], "cut", "kill")
CHANGE = ("fail", "refused", "lost", "hang", "kill")
COMMAND = ("fail", "lost", "hang", "kill")
OURS = ("workers", "api", "storage", "scheduler", "common")
URL = "http://s3.example.com"


class CutBody:
    """An object's body that breaks off half-way."""

    def __init__(self, body: Any) -> None:
        self._body, self._data = body, body.read()

    def iter_chunks(self, _size: int = 0) -> Iterator[bytes]:
        yield self.read()
        self.read()

    def read(self, *_: int) -> bytes:
        if not self._data:
            raise boto.ConnectionClosedError(endpoint_url=URL)
        half, self._data = self._data[: len(self._data) // 2], b""
        return half

    def close(self) -> None:
        self._body.close()


@contextmanager
def hooked(boundary: Boundary) -> Iterator[None]:
    """Watch for the time of the block."""
    with ExitStack() as stack:
        for hook in (_puts, _asks, _commands, _files):
            stack.enter_context(hook(boundary))
        yield


def _lost(kind: str) -> Exception:
    return GenericError(f"Generic S3 error: error performing PUT in 1s: HttpError {{ kind: {kind}, source: swept }}")


@contextmanager
def _puts(boundary: Boundary) -> Iterator[None]:
    put = obstore.put

    def watched(store: Any, key: str, file: Any, **more: Any) -> Any:
        folder = key.partition("/")[0]
        boundary.folders.add(folder)
        way = boundary.cross("s3", f"PUT {folder}", PUT)
        match way:
            case None:
                return put(store, key, file, **more)
            case "fail":
                raise _lost("Connect")
            case "hang":
                raise _lost("Timeout")
            case "kill":
                raise boundary.killed(_lost("Connect"))
            case "refused":
                raise GenericError("Server returned non-2xx status code: 503: <Error><Code>SlowDown</Code></Error>")
            case "lost":
                put(store, key, file, **more)
                raise _lost("Request")
            case "damaged":  # half of it is there, and S3 says that all is well
                data = file.read_bytes() if isinstance(file, Path) else bytes(file)
                return put(store, key, data[: len(data) // 2], **more)
        # Dropped: S3 says that it is there, and it is not. The answer is that of the same bytes elsewhere.
        return put(store, f"swept/{key}", file, **more)

    with patch.object(obstore, "put", watched):
        yield


@contextmanager
def _asks(boundary: Boundary) -> Iterator[None]:
    call = BaseClient._make_api_call

    def watched(self: Any, operation: str, given: Any) -> Any:
        changes = operation.startswith(("Delete", "Abort", "Put", "Copy"))
        way = boundary.cross("s3", operation, CHANGE if changes else READ if operation == "GetObject" else ASK)
        match way:
            case None:
                return call(self, operation, given)
            case "cut":
                answer = call(self, operation, given)
                return {**answer, "Body": CutBody(answer["Body"])}
            case "fail":
                raise boto.EndpointConnectionError(endpoint_url=URL)
            case "hang":
                raise boto.ReadTimeoutError(endpoint_url=URL)
            case "kill":
                raise boundary.killed(boto.ConnectionClosedError(endpoint_url=URL))
            case "refused":
                answer = {"Error": {"Code": "SlowDown"}, "ResponseMetadata": {"HTTPStatusCode": 503}}
                raise boto.ClientError(answer, operation)
        call(self, operation, given)
        raise boto.ConnectionClosedError(endpoint_url=URL)

    with patch.object(BaseClient, "_make_api_call", watched):
        yield


@contextmanager
def _commands(boundary: Boundary) -> Iterator[None]:
    command, pipeline = Redis.execute_command, Pipeline.execute

    def watched(self: Any, *given: Any, **more: Any) -> Any:
        return _redis(boundary, str(given[0]), lambda: command(self, *given, **more))

    def piped(self: Any, raise_on_error: bool = True) -> Any:
        if not self.command_stack:
            return pipeline(self, raise_on_error)
        name = "MULTI " + " ".join(str(each[0][0]) for each in self.command_stack)
        return _redis(boundary, name, lambda: pipeline(self, raise_on_error))

    with patch.object(Redis, "execute_command", watched), patch.object(Pipeline, "execute", piped):
        yield


def _redis(boundary: Boundary, name: str, go: Any) -> Any:
    way = boundary.cross("redis", name, COMMAND)
    match way:
        case None:
            return go()
        case "hang":
            raise redis.TimeoutError("no answer in time")
        case "lost":
            go()
        case "kill":
            raise boundary.killed(redis.ConnectionError("killed"))
    raise redis.ConnectionError("the connection broke")


@contextmanager
def _files(boundary: Boundary) -> Iterator[None]:
    make = tempfile.NamedTemporaryFile

    def check(name: str) -> None:
        match boundary.cross("file", name, ("fail", "kill")):
            case "fail":
                raise OSError(28, "No space left on device")
            case "kill":
                raise boundary.killed(OSError(5, "killed"))

    def made(*given: Any, **more: Any) -> Any:
        asker = str(sys._getframe(1).f_globals.get("__name__", ""))
        if boundary.process is None or not asker.startswith(OURS) or asker.startswith("workers.providers"):
            return make(*given, **more)
        check("open")
        file = make(*given, **more)
        for name in ("write", "flush"):
            setattr(file, name, _checked(name, getattr(file.file, name), check))
        return file

    with patch.object(tempfile, "NamedTemporaryFile", made):
        yield


def _checked(name: str, act: Any, check: Any) -> Any:
    def watched(*given: Any) -> Any:
        check(name)
        return act(*given)

    return watched
