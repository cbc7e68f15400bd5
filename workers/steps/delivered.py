"""Where a delivered result is, as an attempt's row has it, so that any worker can collect it.

Each output is one of {"address", "media_type"}: at the provider, or, as `staged:<key>`, in our bucket as it came;
{"data", "media_type"}: in the row itself, as base64; {"asset"}: stored and measured, only the job's end is missing.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Self
from uuid import UUID

from models.jobs.ending import NewAsset
from storage.s3 import storage
from workers.providers.base import Done, Output

DATA_BYTES = 64 * 1024  # what may go into the row
STAGED = "staged:"

Collectable = Output | NewAsset


@dataclass(frozen=True, slots=True)
class Delivered:
    """What a provider has answered with; what of it is stored already is an asset."""

    outputs: Sequence[Collectable]
    cost_usd_micros: int | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    provider_job_id: str | None = None  # where the answer names one: it can be asked for again by it

    @classmethod
    def of(cls, done: Done) -> Self:
        return cls(done.outputs, done.cost_usd_micros, done.usage, done.provider_job_id)

    def is_alone(self) -> bool:
        """Whether some of it is nowhere but in this process."""
        return any(isinstance(each, Output) and each.address is None for each in self.outputs)

    def row(self) -> dict[str, Any]:
        """As the row has it. What is nowhere else goes into it, and must be small (DATA_BYTES)."""
        return {
            "outputs": [_written(each) for each in self.outputs],
            "usage": dict(self.usage),
            "cost_usd_micros": self.cost_usd_micros,
        }


def staged(key: str, media_type: str | None) -> Output:
    """An output that was put into our bucket as it came."""
    return Output(partial(_stored, key), media_type, STAGED + key)


def read(row: Mapping[str, Any], at_address: Callable[[str, str | None], Output]) -> Delivered:
    """What a row has. `at_address` makes an output of the provider's address and its media type."""
    outputs = [_read(each, at_address) for each in row["outputs"]]
    return Delivered(outputs, row.get("cost_usd_micros"), row.get("usage") or {})


def _written(output: Collectable) -> dict[str, Any]:
    if isinstance(output, NewAsset):
        return {"asset": {**asdict(output), "id": str(output.id), "sha256": output.sha256.hex()}}
    if output.address is not None:
        return {"address": output.address, "media_type": output.claimed_media_type}
    return {"data": b64encode(b"".join(output.chunks())).decode(), "media_type": output.claimed_media_type}


def _read(each: Mapping[str, Any], at_address: Callable[[str, str | None], Output]) -> Collectable:
    if "asset" in each:
        fields = each["asset"]
        read = {
            "id": UUID(fields["id"]),
            "sha256": bytes.fromhex(fields["sha256"]),
            "kinds": tuple(fields.get("kinds", ())),
        }
        return NewAsset(**{**fields, **read})
    media_type = each.get("media_type")
    if "data" in each:
        return Output(partial(_once, b64decode(each["data"])), media_type)
    address = each["address"]
    if address.startswith(STAGED):
        return staged(address.removeprefix(STAGED), media_type)
    return at_address(address, media_type)


def _once(data: bytes) -> Iterator[bytes]:
    yield data


def _stored(key: str) -> Iterator[bytes]:
    with storage().get_range(key).chunks as chunks:
        yield from chunks
