"""Labels: names and values of a client's own on what it orders, to find and to count it by. At most 8, all short."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MAX_LABELS = 8
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
MAX_VALUE = 64


def checked(labels: dict[str, str]) -> dict[str, str]:
    """Raises ValueError, which names what is wrong."""
    if len(labels) > MAX_LABELS:
        raise ValueError(f"at most {MAX_LABELS} labels, not {len(labels)}")
    for name, value in labels.items():
        if not NAME.fullmatch(name):
            raise ValueError(
                f"a label's name has 1 to 32 of a-z, 0-9, '_', '.' and '-', and begins with a letter or digit: {name[:40]!r}"
            )
        if not 1 <= len(value) <= MAX_VALUE or not value.isprintable():
            raise ValueError(f"label {name!r} has 1 to {MAX_VALUE} characters that can be printed, not {len(value)}")
    return labels


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("a label's value has characters that can be printed")
    return value


LabelName = Annotated[
    str, Field(min_length=1, max_length=32, pattern=f"^{NAME.pattern}$", description="A label's name, such as customer.")
]  # fmt: skip
LabelValue = Annotated[
    str,
    Field(min_length=1, max_length=MAX_VALUE, description="One value; `*`: each that has none of its own."),
    AfterValidator(_printable),
]


def label_of(text: str) -> tuple[str, str]:
    """The name and value of `name:value`, as lists are asked for. Raises ValueError."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError("a label is asked for as name:value")
    checked({name: value})
    return name, value


Labels = Annotated[
    dict[str, Annotated[str, Field(max_length=MAX_VALUE)]], AfterValidator(checked),
    Field(max_length=MAX_LABELS, description="Your own, to find and count it by: at most 8, such as customer: acme."),
]  # fmt: skip
