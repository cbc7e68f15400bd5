"""All routes of this dialect."""

from api.dialects.openai import images, models, speech, videos

OPENAI_ROUTERS = (models.router, images.router, videos.router, speech.router)
