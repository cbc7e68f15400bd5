"""All routes of this dialect."""

from api.dialects.openai import images, models

OPENAI_ROUTERS = (models.router, images.router)
