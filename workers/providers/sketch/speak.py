"""Text to speech in a process of its own: `python speak.py`, JSON {text, voice, speed} on standard input, WAV on output.

espeak-ng carries its state from one text to the next and has one voice per process; a fresh process gives the same
bytes for the same text, and takes about 60 ms. Only the standard library and the wheel are imported here.
"""

import ctypes
import io
import json
import sys
import wave
from typing import Any

import espeakng_loader

AUDIO_OUTPUT_SYNCHRONOUS = 2
CHARS_UTF8 = 1
RATE = 1
UNKNOWN_VOICE = 3  # exit status


def say(text: str, voice: str, words_per_minute: int) -> bytes:
    """A WAV of 16-bit mono samples."""
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0:
        raise RuntimeError("espeak-ng does not start")
    samples: list[bytes] = []

    def take(chunk: Any, count: int, _events: Any) -> int:
        if chunk and count > 0:
            samples.append(ctypes.string_at(chunk, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)(take)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise SystemExit(UNKNOWN_VOICE)
    library.espeak_SetParameter(RATE, words_per_minute, 0)
    raw = text.encode()
    library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, CHARS_UTF8, None, None)
    library.espeak_Synchronize()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"".join(samples))
    return out.getvalue()


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    sys.stdout.buffer.write(say(wanted["text"], wanted["voice"], wanted["speed"]))
