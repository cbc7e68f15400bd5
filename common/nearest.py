"""What somebody may have meant by a word that there is not."""

from collections.abc import Collection
from difflib import get_close_matches

MAX_COMPARED = 100  # characters: comparing costs by their product


def meant(name: str, words: Collection[str]) -> str:
    """The nearest of the words, to be added to a refusal; nothing where none is near."""
    near = get_close_matches(name[:MAX_COMPARED], words, 1)
    return f"; did you mean {near[0]}?" if near else ""


def or_nearest(name: str, words: Collection[str]) -> str:
    """What is added to "there is no such word": which there are, and the nearest."""
    return f"there are {', '.join(words)}{meant(name, words)}" if words else "there is none"
