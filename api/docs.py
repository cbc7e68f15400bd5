"""`/openapi.json`, and two pages that show it, `/docs` and `/redoc`, with scripts out of this package and a policy that
allows no others. Addresses in them are relative, so that the pages work under whatever path and name a proxy gives them.
"""

from functools import lru_cache
from pathlib import Path

import orjson
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.edge.pace import weigh

FOLDER = Path(__file__).with_name("static")
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js", "start.js", "pages.css")
KEPT = {"cache-control": "public, max-age=3600"}
MAKERS_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"  # redoc would fetch it for each reader

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headrace</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/pages.css">"""
SWAGGER = f"""{_HEAD}
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script><script src="docs/start.js"></script></body></html>
"""
REDOC = f"""{_HEAD}</head>
<body><redoc spec-url="openapi.json"></redoc><script src="docs/redoc.standalone.js"></script></body></html>
"""


def install(app: FastAPI) -> None:
    """Add the document and its pages. They are no part of the API that they describe."""
    app.add_route("/openapi.json", _openapi, include_in_schema=False)
    app.add_route("/docs", _swagger, include_in_schema=False)
    app.add_route("/redoc", _redoc, include_in_schema=False)
    app.add_route("/docs/{name}", _file, include_in_schema=False)


async def _openapi(request: Request) -> Response:
    weigh(request.scope, len(_document()))
    return Response(_document(), media_type="application/json")


@lru_cache(maxsize=1)
def _document() -> bytes:
    """The committed document, which `make check` holds against the code: to make it takes four seconds of a core, in which
    a process that made it for whoever asks would answer nobody else.
    """
    return orjson.dumps(orjson.loads((FOLDER / "openapi.json").read_bytes()))


async def _swagger(_request: Request) -> Response:
    return Response(SWAGGER, media_type="text/html")


async def _redoc(_request: Request) -> Response:
    return Response(REDOC, media_type="text/html")


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404, "there is nothing here")
    weigh(request.scope, len(_content(name)))
    return Response(_content(name), headers=KEPT, media_type=TYPES[Path(name).suffix])


@lru_cache(maxsize=len(FILES))
def _content(name: str) -> bytes:
    return (FOLDER / name).read_bytes().replace(MAKERS_LOGO, b"data:,")
