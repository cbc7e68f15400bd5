"""All routes of this dialect."""

from api.dialects.openai import batches, chat, files, images, models, responses, speech, videos

OPENAI_ROUTERS = (
    videos.router,
    images.router,
    chat.router,
    responses.router,
    speech.router,
    models.router,
    files.router,
    batches.router,
)
