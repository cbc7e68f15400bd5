"""All routes in the words of others, and how what they refuse is said."""

from api.dialects.fal import proxy, queue, running, storing
from api.dialects.fal.refusals import speak_fal
from api.dialects.mcp import door
from api.dialects.openai.refusals import PREFIX as OPENAI_PREFIX
from api.dialects.openai.refusals import refuse_openai
from api.dialects.openai.routers import OPENAI_ROUTERS
from api.dialects.replicate import files, models, predictions, refusals, streams
from api.edge.voices import give_voice
from common.dialects.fal import FAL

give_voice(refusals.PREFIX, refusals.refuse)
give_voice(OPENAI_PREFIX, refuse_openai)
give_voice(FAL, speak_fal)

# Those that are asked the most come first: each router that is passed by takes a microsecond.
DIALECT_ROUTERS = (
    predictions.router, queue.router, *OPENAI_ROUTERS, running.router, streams.router, files.router, models.router,
    storing.router, proxy.router, door.router,
)  # fmt: skip
