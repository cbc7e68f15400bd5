"""What sketch draws: pictures decided by a prompt, a seed and VERSION, painted at any size and at any second."""

from workers.providers.sketch.art.studio import VERSION, Picture, make_picture

__all__ = ["VERSION", "Picture", "make_picture"]
