"""What all models are made of."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A shape of the API. Fields that this release does not know yet are kept, in `model_extra`."""

    model_config = ConfigDict(extra="allow", protected_namespaces=(), defer_build=True)  # built when used: 270 of them
