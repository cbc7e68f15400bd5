"""What a child of the sandbox does with one file: `decoding.measure`, in and out as JSON."""

import base64
import codecs
import importlib
import io
import pkgutil
import tempfile
from dataclasses import asdict
from typing import Any

import av
import numpy as np
from PIL import Image

from storage.media import decoding, pictures
from storage.media.base import Larger, UnusableResult
from storage.media.pictures import THUMBNAIL_PIXELS
from storage.media.source import MediaSource

_ENCODINGS = ("ascii", "latin-1", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
_PROGRAMS = ("__main__", "datasets")


def work(descriptor: int, request: dict[str, Any]) -> dict[str, Any]:
    """The file's facts, or why it has none. What is raised besides is a fault of ours."""
    try:
        media = decoding.measure(
            MediaSource(descriptor),
            claimed=request.get("claimed"),
            ordered=request.get("ordered"),
            pixels=request["pixels"],
        )
    except Larger:
        return {"larger": True}
    except UnusableResult as error:
        return {"unusable": error.code, "message": error.message, "cut_off": error.cut_off}
    except OSError as error:
        return {"unread": error.errno}
    facts = asdict(media)
    facts["thumbnail"] = None if media.thumbnail is None else base64.b64encode(media.thumbnail).decode()
    return {"media": facts}


def warm() -> None:
    """Load what decoders load when they are first used: a child may open no file any more."""
    for name in _ENCODINGS:
        codecs.lookup(name)
    Image.init()
    for found in pkgutil.walk_packages(av.__path__, "av."):
        if not found.name.endswith(_PROGRAMS):
            importlib.import_module(found.name)
    for kind in pictures.KINDS:
        out = io.BytesIO()
        Image.new("RGB", (THUMBNAIL_PIXELS + 1, 10)).save(out, kind)
        pictures.measure(out, kind)
    film = io.BytesIO()
    with av.open(film, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.codec_context.thread_count = 1  # who has threads cannot leave the network
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with tempfile.TemporaryFile() as file:
        file.write(film.getvalue())
        file.flush()
        decoding.measure(MediaSource(file.fileno()))
