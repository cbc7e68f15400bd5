"""Conversations as a text model's input: its own `messages`, where its schema has them, else one prompt. Pure.

As one prompt, what the system says stands in the model's field for it, or before all else. A single turn is the prompt as it is; of
several, each begins with who speaks, so that a model that completes texts goes on as the assistant.
"""

from collections.abc import Mapping
from typing import Any

from api.dialects.openai.fields import USUAL, Translated, coerced
from api.dialects.openai.pictures import picture_fields, picture_named
from common.errors import InvalidInput
from models.catalogue.entries import Offer

SYSTEM_FIELDS = ("system", "system_prompt")
SPEAKERS = {"user": "User", "assistant": "Assistant"}
INSTRUCTING = ("system", "developer")
TEXTS = ("text", "input_text", "output_text")
PICTURES = ("image_url", "input_image")
# What would be another answer, and is known to be wanted; each with what says that it is not.
CHANGING_TEXTS: Mapping[str, tuple[Any, ...]] = {
    "tools": ([],), "functions": ([],), "audio": (), "n": (1,), "logprobs": (False,), "top_logprobs": (0,), "previous_response_id": (),
    "conversation": (), "web_search_options": (), "prompt_id": (), "suffix": (),
}  # fmt: skip
TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
NOT_INPUT = frozenset(
    {
        "model", "messages", "input", "instructions", "stream", "stream_options", "background", "store", "metadata", "user",
        "response_format", "text", "modalities", "image", "images", "prompt", "system", "system_prompt", *TOKEN_LIMITS, *CHANGING_TEXTS,
    }
)  # fmt: skip


def chat_input(offer: Offer, body: Mapping[str, Any]) -> Translated:
    """The input of a chat completion. Raises InvalidInput that names the field."""
    _refuse_others(body)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidInput("messages must be a list with a message in it", param="messages")
    return _input(offer, body, messages, "messages")


def response_input(offer: Offer, body: Mapping[str, Any]) -> Translated:
    """The input of a response. Raises InvalidInput that names the field."""
    _refuse_others(body)
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not items:
        raise InvalidInput("input must be a text, or a list with a message in it", param="input")
    instructions = body.get("instructions")
    if instructions is not None:
        items = [{"role": "system", "content": instructions}, *items]
    return _input(offer, body, items, "input")


def _refuse_others(body: Mapping[str, Any]) -> None:
    for name, plain in CHANGING_TEXTS.items():
        value = body.get(name)
        if value is not None and value not in plain:
            raise InvalidInput(f"{name} is nothing that models here can do; leave it out", param=name)
    for name in ("response_format", "text"):
        asked = body.get(name)
        kind = asked.get("format", asked) if isinstance(asked, dict) else {}
        if isinstance(kind, dict) and kind.get("type", "text") != "text":
            raise InvalidInput("models here answer with plain text", param=name)
    if body.get("modalities") not in (None, [], ["text"]):
        raise InvalidInput("models here answer with plain text", param="modalities")


def _input(offer: Offer, body: Mapping[str, Any], messages: list[Any], param: str) -> Translated:
    rules = offer.entry.input_schema.get("properties", {})
    made = Translated({}, {})
    read = [_read(each, param) for each in messages]
    if "messages" in rules:
        made.values["messages"] = [{"role": role, "content": text} for role, text, _ in read]
        made.said["messages"] = param
    else:
        _as_prompt(made, offer, read, param)
    pictures = [each for _, _, shown in read for each in shown]
    if pictures:
        picture_fields(offer, made, "image", pictures)
        made.said.update({field: param for field, name in made.said.items() if name == "image"})
    limit = next((name for name in TOKEN_LIMITS if body.get(name) is not None), None)
    field = offer.entry.fields.get("max_tokens") or next((each for each in USUAL["max_tokens"] if each in rules), None)
    if limit is not None and field is not None:
        made.values[field], made.said[field] = coerced(body[limit], rules[field]), limit
    for name, value in body.items():  # by its own name: temperature, seed, stop
        own = offer.entry.fields.get(name, name)
        if name not in NOT_INPUT and value is not None and own in rules and own not in made.values:
            made.values[own], made.said[own] = coerced(value, rules[own]), name
    return made


def _as_prompt(made: Translated, offer: Offer, read: list[tuple[str, str, list[str]]], param: str) -> None:
    rules = offer.entry.input_schema.get("properties", {})
    instructing = "\n\n".join(text for role, text, _ in read if role == "system" and text)
    turns = [(role, text) for role, text, _ in read if role != "system"]
    said = [text if len(turns) == 1 else f"{SPEAKERS[role]}: {text}" for role, text in turns]
    prompt = "\n\n".join(said)
    system = offer.entry.fields.get("system") or next((each for each in SYSTEM_FIELDS if each in rules), None)
    if instructing and system is not None:
        made.values[system], made.said[system] = instructing, param
    elif instructing:
        prompt = f"{instructing}\n\n{prompt}" if prompt else instructing
    field = offer.entry.fields.get("prompt") or next((each for each in USUAL["prompt"] if each in rules), "prompt")
    made.values[field], made.said[field] = prompt, param


def _read(message: Any, param: str) -> tuple[str, str, list[str]]:
    """Who speaks, what they say, and the pictures that they show."""
    if not isinstance(message, dict):
        raise InvalidInput(f"{param} must be objects with a role and a content", param=param)
    role = message.get("role")
    if role in INSTRUCTING:
        role = "system"
    if not isinstance(role, str) or (role != "system" and role not in SPEAKERS):
        raise InvalidInput(
            f"{param}: {role!r:.40} is no role here; there are system, developer, user, assistant", param=param
        )
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, str):
        return role, content, []
    if not isinstance(content, list):
        raise InvalidInput(f"{param}: a content must be a text, or a list of parts", param=param)
    texts, pictures = list[str](), list[str]()
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind in TEXTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and kind in PICTURES:
            shown = part if kind == "input_image" else {"image_url": part.get("image_url")}
            pictures.append(picture_named(shown, param))
        else:
            raise InvalidInput(f"{param}: a part of type {kind!r:.40} is not taken here", param=param)
    return role, "\n".join(texts), pictures
