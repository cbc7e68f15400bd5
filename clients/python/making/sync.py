"""The blocking half: the same text without the words that wait. Pure."""

import re

WORDS = {
    "async def": "def",
    "async with": "with",
    "async for": "for",
    "await ": "",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "AsyncIterator": "Iterator",
    "AsyncIterable": "Iterable",
    "AsyncGenerator": "Generator",
    "AsyncExitStack": "ExitStack",
    "AsyncHTTPTransport": "HTTPTransport",
    "AsyncBaseTransport": "BaseTransport",
    "asynccontextmanager": "contextmanager",
    "aclosing": "closing",
    "aclose": "close",
    "aread": "read",
    "aiter_bytes": "iter_bytes",
    "asyncio.sleep": "time.sleep",
    "import asyncio": "import time",
    "from asyncio import": "from threading import",
    "headrace_client._async": "headrace_client._sync",
}
_PATTERN = re.compile("|".join(rf"(?<!\w){re.escape(word)}" for word in sorted(WORDS, key=len, reverse=True)))
_OURS = re.compile(r"\bAsync(?=[A-Z])")


def blocking(text: str) -> str:
    """A module of the asynchronous client as one that blocks."""
    text = re.sub(r"Coroutine\[Any, Any, (\w+)\]", r"\1", text)
    text = re.sub(r"AsyncGenerator\[([\w.]+), None\]", r"Generator[\1, None, None]", text)
    plain = _PATTERN.sub(lambda found: WORDS[found.group()], text)
    return _OURS.sub("", plain)
