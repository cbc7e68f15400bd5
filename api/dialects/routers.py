"""All routes in the words of others, and how what they refuse is said."""

from api.dialects.mcp import door
from api.dialects.replicate import files, models, predictions, refusals, streams
from api.edge.voices import give_voice

give_voice(refusals.PREFIX, refusals.refuse)

DIALECT_ROUTERS = (predictions.router, streams.router, files.router, models.router, door.router)
