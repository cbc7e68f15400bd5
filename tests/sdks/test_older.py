"""Libraries in the versions that programs still have: OpenAI's 2.45, and Replicate's 2.0.0b4, which was written anew."""

import pytest

from tests.sdks.house import OLDER, SdkHouse, needs_kit
from tests.support import balance, rows

pytestmark = [needs_kit(OLDER), pytest.mark.timeout(240)]

OPENAI = """
import base64, json, os, time
import openai
client = openai.OpenAI(api_key=os.environ["KEY"], base_url=os.environ["URL"] + "/compat/openai/v1")
talk = [{"role": "user", "content": "Why is the sea salt?"}]
out = {"version": openai.__version__}
drawn = client.images.generate(model="sketch-image", prompt="a harbour", n=2)
out["drawn"] = [base64.b64decode(each.b64_json)[:4].hex() for each in drawn.data]
whole = client.chat.completions.create(model="sketch-text", messages=talk, seed=3)
pieces = client.chat.completions.create(model="sketch-text", messages=talk, seed=3, stream=True)
said = "".join(each.choices[0].delta.content or "" for each in pieces if each.choices)
out["same"] = said == whole.choices[0].message.content != ""
out["response"] = bool(client.responses.create(model="sketch-text", input="And the lake?").output_text)
out["spoken"] = client.audio.speech.create(model="sketch-speech", input="Hello", voice="alloy", response_format="wav").read()[:4].decode()
film = client.videos.create_and_poll(model="sketch-video", prompt="a harbour", poll_interval_ms=200)
out["film"] = [film.status, client.videos.download_content(film.id).read()[4:8].decode()]
sent = client.files.create(file=("in.jsonl", json.dumps({
    "custom_id": "a", "method": "POST", "url": "/v1/images/generations", "body": {"model": "picture", "prompt": "one"},
}).encode()), purpose="batch")
batch = client.batches.create(input_file_id=sent.id, endpoint="/v1/images/generations", completion_window="24h")
while client.batches.retrieve(batch.id).status != "completed":
    time.sleep(0.2)
out["batch"] = json.loads(client.files.content(client.batches.retrieve(batch.id).output_file_id).text)["custom_id"]
for name, ask in {
    "failed": lambda: client.images.generate(model="broken", prompt="a harbour"),
    "wrong": lambda: client.images.generate(model="picture", prompt="a harbour", output_format="svg"),
    "nobody": lambda: client.with_options(api_key="hr_nobody").models.list(),
    "poor": lambda: client.with_options(api_key=os.environ["POOR"]).images.generate(model="picture", prompt="x"),
}.items():
    try:
        ask()
    except openai.APIStatusError as error:
        out[name] = [type(error).__name__, error.status_code, error.code]
print(json.dumps(out))
"""

REPLICATE = """
import json, os
import warnings
import replicate
from replicate import Replicate
warnings.simplefilter("ignore")
client = Replicate(bearer_token=os.environ["KEY"], base_url=os.environ["URL"] + "/compat/replicate/v1")
out = {"version": replicate.__version__}
[drawn] = client.run("black-forest-labs/flux-schnell", input={"prompt": "a harbour"})
out["drawn"] = drawn.read()[:4].hex()
out["text"] = "".join(client.run("headrace/text", input={"prompt": "Why is the sea salt?"})) != ""
out["streamed"] = "".join(str(each) for each in client.stream("headrace/text", input={"prompt": "And the lake?"})) != ""
made = client.models.predictions.create(model_owner="headrace", model_name="slow", input={})
out["made"] = made.status in ("starting", "processing")
out["canceled"] = client.predictions.cancel(prediction_id=made.id).status in ("canceled", "processing")
waited = client.models.predictions.create(model_owner="headrace", model_name="picture", input={}, prefer="wait=30")
out["waited"] = client.predictions.get(prediction_id=waited.id).status
out["listed"] = len(list(client.predictions.list()))
out["search"] = "flux-schnell" in [each.name for each in client.models.search(body="flux schnell")]
out["account"] = client.account.get().type
for name, ask in {
    "failed": lambda: client.run("headrace/broken", input={}),
    "wrong": lambda: client.run("headrace/picture", input={"nonsense": 1}),
    "nobody": lambda: client.with_options(bearer_token="r8_nobody").predictions.list(),
    "poor": lambda: client.with_options(bearer_token=os.environ["POOR"]).run("headrace/picture", input={}),
}.items():
    try:
        ask()
    except Exception as error:
        out[name] = [type(error).__name__, getattr(error, "status_code", None)]
print(json.dumps(out))
"""


def test_openai_2_45_does_all_of_it(house: SdkHouse) -> None:
    (account_id, key), (_, poor) = house.key(), house.key(credits=0)
    found = house.run_python(OPENAI, kit=OLDER, KEY=key, POOR=poor)
    assert found == {
        "version": "2.45.0", "drawn": ["89504e47"] * 2, "same": True, "response": True, "spoken": "RIFF", "film": ["completed", "ftyp"],
        "batch": "a", "failed": ["InternalServerError", 502, "sketch_permanent"], "wrong": ["BadRequestError", 400, "invalid_input"],
        "nobody": ["AuthenticationError", 401, "invalid_api_key"], "poor": ["APIStatusError", 402, "insufficient_quota"],
    }  # fmt: skip
    assert balance(account_id)[1] == 0


def test_replicate_2_does_all_of_it(house: SdkHouse) -> None:
    (account_id, key), (_, poor) = house.key(), house.key(credits=0)
    given = {"REPLICATE_API_TOKEN": key, "REPLICATE_BASE_URL": f"{house.url}/compat/replicate/v1"}
    found = house.run_python(REPLICATE, kit=OLDER, KEY=key, POOR=poor, **given)
    assert found == {
        "version": "2.0.0-beta.4", "drawn": "89504e47", "text": True, "streamed": True, "made": True, "canceled": True,
        "waited": "succeeded", "listed": 5, "search": True, "account": "user", "failed": ["ModelError", None],
        "wrong": ["UnprocessableEntityError", 422], "nobody": ["AuthenticationError", 401], "poor": ["APIStatusError", 402],
    }  # fmt: skip
    assert rows("select count(*) from jobs where account_id = %s", account_id) == [(6,)]
