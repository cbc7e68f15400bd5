"""Raw samples, which have no header: only what is claimed about them says how fast they are."""

import re
from typing import NamedTuple

from storage.media.base import Media, broken, check_rate, milliseconds

_LINEAR = re.compile(r"audio/(?:l(8|16|24)|(?:x-)?pcm)", re.IGNORECASE)
_NUMBER = re.compile(r"\d{1,7}", re.ASCII)


class PcmForm(NamedTuple):
    """What a media type says of raw samples. `rate`: None where it does not say."""

    bits: int
    rate: int | None
    channels: int


def claim(media_type: str | None) -> PcmForm | None:
    """Of a type such as audio/L16;rate=24000;channels=1 or audio/pcm;rate=24000. None: it is no type of raw samples."""
    essence, *given = (media_type or "")[:200].split(";")
    linear = _LINEAR.fullmatch(essence.strip())
    if linear is None:
        return None
    values = {}
    for each in given:
        name, _, value = each.partition("=")
        if number := _NUMBER.fullmatch(value.strip().strip('"')):
            values[name.strip().lower()] = int(number[0])
    return PcmForm(int(linear[1] or values.get("bits", 16)), values.get("rate"), values.get("channels", 1))


def measure(size: int, raw: PcmForm) -> Media:
    """Kept as it came. Raises UnusableResult where the claim does not say how fast it is, or is absurd."""
    if raw.rate is None:
        raise broken("raw samples have no header, so their type must say how fast they are: audio/L16;rate=24000")
    check_rate(raw.rate)
    if raw.bits not in {8, 16, 24, 32} or not 1 <= raw.channels <= 8:
        raise broken(f"raw samples of {raw.bits} bits in {raw.channels} channels")
    samples = size // (raw.bits // 8 * raw.channels)
    if samples == 0:
        raise broken("the sound has no samples", cut_off=True)
    media_type = f"audio/L{raw.bits};rate={raw.rate};channels={raw.channels}"
    return Media(media_type, "pcm", duration_ms=milliseconds(samples / raw.rate))
