"""The parts of the product that a deployment may switch off, one name each; what orders, pays and generates is no part."""

from typing import Literal, get_args

Feature = Literal["gallery", "collections", "playground", "summaries", "content", "learning"]
FEATURES: tuple[Feature, ...] = get_args(Feature)
