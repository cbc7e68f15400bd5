"""All routes of this dialect."""

from api.dialects.openai import batches, chat, files, images, models, responses, speech, videos

OPENAI_ROUTERS = (
    models.router,
    images.router,
    videos.router,
    speech.router,
    chat.router,
    responses.router,
    files.router,
    batches.router,
)
