"""`?label=name:value` of lists."""

from typing import Annotated

from fastapi import Query

from common.errors import InvalidParameter
from common.labels import label_of

WantedLabel = Annotated[
    str | None, Query(max_length=100, description="Only those with this label: name:value, such as customer:acme.")
]


def label_wanted(text: str | None) -> dict[str, str] | None:
    """Raises InvalidParameter."""
    if text is None:
        return None
    try:
        name, value = label_of(text)
    except ValueError as error:
        raise InvalidParameter(str(error), param="label") from None
    return {name: value}
