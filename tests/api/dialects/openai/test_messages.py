"""Conversations as a text model's input, and texts as streams that can only add."""

from typing import Any
from uuid import UUID

import pytest

from api.dialects.openai.messages import chat_input, response_input
from api.dialects.openai.writing import BegunAnew, SentText, pieces_of
from api.live.frames import live_frame
from common.errors import InvalidInput
from models.catalogue.entries import Entry, Offer
from models.events.kinds import JOB_TEXT
from tests.api.dialects.openai.test_fields import INTEGER, TEXT

JOB = UUID(int=7)


def offer(**properties: Any) -> Offer:
    """A text model whose input has these properties."""
    return Offer(
        Entry.model_validate(
            {
                "id": "one", "name": "One", "kind": "text", "price": {"unit": "job", "credits": 1},
                "routes": [{"provider": "sketch", "model": "text"}],
                "input_schema": {"type": "object", "additionalProperties": False, "properties": properties},
            }
        ), 1,
    )  # fmt: skip


TALK = [
    {"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}, {"role": "assistant", "content": None},
    {"role": "user", "content": [{"type": "text", "text": "Why"}, {"type": "text", "text": "so?"}]},
]  # fmt: skip


def test_a_conversation_becomes_what_the_model_takes() -> None:
    assert chat_input(offer(prompt=TEXT, system=TEXT), {"messages": TALK}).values == {
        "system": "Be short.", "prompt": "User: Hi\n\nAssistant: \n\nUser: Why\nso?",
    }  # fmt: skip
    assert chat_input(offer(text=TEXT), {"messages": TALK[:2]}).values == {"text": "Be short.\n\nHi"}
    whole = chat_input(offer(messages={"type": "array"}), {"messages": TALK[:2]}).values
    assert whole == {"messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}]}
    assert response_input(offer(prompt=TEXT, system=TEXT), {"input": "Hi", "instructions": "Be short."}).values == {
        "system": "Be short.", "prompt": "Hi",
    }  # fmt: skip
    developer = [{"role": "developer", "content": "Be short."}]
    assert chat_input(offer(prompt=TEXT), {"messages": developer}).values == {"prompt": "Be short."}


def test_pictures_limits_and_what_else_the_schema_has() -> None:
    body = {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b"}}]}], "seed": 3.0, "temperature": 1,
        "max_completion_tokens": 9, "user": "u", "store": True, "tools": [], "n": 1, "response_format": {"type": "text"},
    }  # fmt: skip
    made = chat_input(offer(prompt=TEXT, image=TEXT, seed=INTEGER, max_tokens=INTEGER), body)
    assert made.values == {"prompt": "", "image": "https://a/b", "seed": 3, "max_tokens": 9}
    assert (made.said["image"], made.said["max_tokens"]) == ("messages", "max_completion_tokens")
    given = {
        "input": [
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "https://a/b"}, {"type": "input_text", "text": "?"}],
            }
        ]
    }
    assert response_input(offer(prompt=TEXT, image_url=TEXT), given).values == {
        "prompt": "?",
        "image_url": "https://a/b",
    }


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"messages": []}, "messages"), ({"messages": "Hi"}, "messages"), ({"messages": [7]}, "messages"), ({"messages": [{"role": "user"}]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages"), ({"messages": [{"role": ["user"], "content": "x"}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages"), ({"messages": [{"role": "user", "content": [7]}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages"), ({"n": 2}, "n"), ({"tools": [{}]}, "tools"),
        ({"logprobs": True}, "logprobs"), ({"response_format": {"type": "json_object"}}, "response_format"), ({"modalities": ["audio"]}, "modalities"),
        ({"modalities": 7}, "modalities"), ({"audio": {}}, "audio"), ({"text": {"format": {"type": "json_schema"}}}, "text"),
    ],
)  # fmt: skip
def test_what_a_text_model_cannot_do_is_refused_by_its_name(wrong: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        chat_input(offer(prompt=TEXT), {"messages": TALK, **wrong})
    assert refused.value.param == param


def test_a_text_that_is_begun_anew_goes_on_where_it_was_sent_to() -> None:
    sent = SentText()
    assert [sent.hear(0, "The "), sent.hear(4, "sea "), sent.hear(8, "is")] == ["The ", "sea ", "is"]
    assert [sent.hear(0, "The "), sent.hear(4, "sea is salt")] == ["", " salt"]
    assert sent.rest("The sea is salt.") == "."
    with pytest.raises(BegunAnew):
        sent.rest("A sea")
    other = SentText()
    assert [other.hear(0, "The "), other.hear(0, "A"), other.hear(1, " sea")] == ["The ", "", ""]


def test_pieces_are_read_out_of_frames() -> None:
    told = live_frame(JOB_TEXT, JOB, {"attempt": 1, "position": 0, "text": "a\n\nb"})
    assert pieces_of(b":\n\n" + live_frame("job.running", JOB, {}) + told) == [(0, "a\n\nb")]
