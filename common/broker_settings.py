"""Settings of what carries messages and news between processes."""

from importlib.util import find_spec

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from common import places


class BrokerSettings(BaseSettings):
    """Part of `common.settings.Settings`."""

    redis_url: str = Field("redis://127.0.0.1:6379/0", repr=False, description="Redis or Valkey, with noeviction.")
    broker_url: str | None = Field(
        None, repr=False, description="A RabbitMQ that carries messages in Redis's place: amqp:// or amqps://; needs pika. Empty: Redis does."
    )  # fmt: skip

    @field_validator("redis_url")
    @classmethod
    def _is_a_redis(cls, address: str) -> str:
        places.redis_place(address)
        return address

    @field_validator("broker_url")
    @classmethod
    def _is_a_broker(cls, address: str | None) -> str | None:
        if address is not None:
            places.broker_place(address)
            if find_spec("pika") is None:
                raise ValueError("BROKER_URL needs pika: install headrace[rabbitmq], or leave BROKER_URL empty")
        return address
