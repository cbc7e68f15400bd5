"""What kinds of models there are, by what they make."""

KINDS = ("image", "video", "speech", "text")
