"""All routes in the words of others, and how what they refuse is said."""

from api.dialects.mcp import door
from api.dialects.replicate import predictions, refusals
from api.edge.voices import give_voice

give_voice(refusals.PREFIX, refusals.refuse)

DIALECT_ROUTERS = (predictions.router, door.router)
