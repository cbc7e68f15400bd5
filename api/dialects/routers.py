"""All routes in the words of others, and how what they refuse is said."""

from api.dialects.openai.refusals import PREFIX as OPENAI_PREFIX
from api.dialects.openai.refusals import refuse_openai
from api.dialects.openai.routers import OPENAI_ROUTERS
from api.dialects.replicate import files, models, predictions, refusals, streams
from api.edge.voices import give_voice

give_voice(refusals.PREFIX, refusals.refuse)
give_voice(OPENAI_PREFIX, refuse_openai)

DIALECT_ROUTERS = (predictions.router, streams.router, files.router, models.router, *OPENAI_ROUTERS)
