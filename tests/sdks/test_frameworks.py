"""What stands between a program and a library: LiteLLM, LangChain and LlamaIndex in Python, Vercel's AI SDK in JavaScript, through their
parts for OpenAI, Replicate and fal. One short way through each.
"""

import pytest

from tests.sdks.house import FRAMEWORKS, SdkHouse, needs_kit, needs_node
from tests.support import balance

pytestmark = pytest.mark.timeout(240)  # some take a while to import

LITELLM = """
import json, os
import litellm
litellm.num_retries = 0
to = {"api_base": os.environ["URL"] + "/compat/openai/v1", "api_key": os.environ["KEY"]}
talk = [{"role": "user", "content": "Why is the sea salt?"}]
whole = litellm.completion(model="openai/sketch-text", messages=talk, seed=3, **to)
said = "".join(each.choices[0].delta.content or "" for each in litellm.completion(model="openai/sketch-text", messages=talk, seed=3, stream=True, **to))
drawn = litellm.image_generation(model="openai/picture", prompt="a harbour", **to)
out = {"same": said == whole.choices[0].message.content != "", "tokens": whole.usage.total_tokens > 0, "drawn": bool(drawn.data[0].b64_json or drawn.data[0].url)}
for name, ask in {
    "failed": lambda: litellm.image_generation(model="openai/broken", prompt="x", **to),
    "nobody": lambda: litellm.completion(model="openai/sketch-text", messages=talk, api_base=to["api_base"], api_key="hr_nobody"),
    "wrong": lambda: litellm.completion(model="openai/sketch-text", messages=[], **to),
}.items():
    try:
        ask()
    except Exception as error:
        out[name] = getattr(error, "status_code", repr(error))
print(json.dumps(out))
"""

LANGCHAIN = """
import json, os
from langchain_openai import ChatOpenAI
from langchain_community.llms import Replicate
chat = ChatOpenAI(model="sketch-text", base_url=os.environ["URL"] + "/compat/openai/v1", api_key=os.environ["KEY"], seed=3)
whole = chat.invoke("Why is the sea salt?")
said = "".join(each.content for each in chat.stream("Why is the sea salt?"))
text = Replicate(model="headrace/text", replicate_api_token=os.environ["KEY"]).invoke("Why is the sea salt?")
print(json.dumps({"whole": whole.usage_metadata["total_tokens"] > 0, "streamed": said == whole.content != "", "replicate": text != ""}))
"""

LLAMA = """
import json, os
from llama_index.llms.openai_like import OpenAILike
from llama_index.llms.replicate import Replicate
model = OpenAILike(model="sketch-text", api_base=os.environ["URL"] + "/compat/openai/v1", api_key=os.environ["KEY"], is_chat_model=True)
whole = model.complete("Why is the sea salt?").text
said = "".join(each.delta for each in model.stream_complete("Why is the sea salt?"))
text = Replicate(model="meta/meta-llama-3-8b-instruct", prompt_key="prompt").complete("Why is the sea salt?").text
print(json.dumps({"whole": whole != "", "streamed": said != "", "replicate": text != ""}))
"""

VERCEL = """
import {experimental_generateImage as generateImage, generateText, streamText} from "ai";
import {createOpenAI} from "@ai-sdk/openai";
import {createReplicate} from "@ai-sdk/replicate";
import {createFal} from "@ai-sdk/fal";
const at = process.env.URL, apiKey = process.env.KEY;
const openai = createOpenAI({baseURL: `${at}/compat/openai/v1`, apiKey});
const out = {}, prompt = "Why is the sea salt?";
const png = (image) => Buffer.from(image.uint8Array.slice(1, 4)).toString();
out.chat = (await generateText({model: openai.chat("sketch-text"), prompt})).text !== "";
out.response = (await generateText({model: openai.responses("sketch-text"), prompt})).text !== "";
let said = "";
for await (const piece of streamText({model: openai.chat("sketch-text"), prompt}).textStream) said += piece;
out.streamed = said !== "";
out.openai = png((await generateImage({model: openai.image("picture"), prompt})).image);
const replicate = createReplicate({baseURL: `${at}/compat/replicate/v1`, apiToken: apiKey});
out.replicate = png((await generateImage({model: replicate.image("black-forest-labs/flux-dev"), prompt, providerOptions: {replicate: {output_format: "png"}}})).image);
const fal = createFal({baseURL: `${at}/compat/fal/run`, apiKey});
out.fal = png((await generateImage({model: fal.image("fal-ai/flux/schnell"), prompt, providerOptions: {fal: {outputFormat: "png"}}})).image);
console.log(JSON.stringify(out));
"""


@needs_kit(FRAMEWORKS)
def test_litellm(house: SdkHouse) -> None:
    account_id, key = house.key()
    found = house.run_python(LITELLM, kit=FRAMEWORKS, KEY=key, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert found == {"same": True, "tokens": True, "drawn": True, "failed": 502, "nobody": 401, "wrong": 400}
    assert balance(account_id)[1] == 0


@needs_kit(FRAMEWORKS)
@pytest.mark.parametrize("program", [LANGCHAIN, LLAMA], ids=["langchain", "llama_index"])
def test_frameworks_over_both_libraries(house: SdkHouse, program: str) -> None:
    account_id, key = house.key()
    given = {"REPLICATE_BASE_URL": f"{house.url}/compat/replicate", "REPLICATE_API_TOKEN": key}
    found = house.run_python(program, kit=FRAMEWORKS, KEY=key, **given)
    assert found == {"whole": True, "streamed": True, "replicate": True}
    assert balance(account_id) == (997, 0)


@needs_node
def test_vercels_ai_sdk(house: SdkHouse) -> None:
    account_id, key = house.key()
    found = house.run_node(VERCEL, seconds=120, KEY=key)
    assert found == {
        "chat": True,
        "response": True,
        "streamed": True,
        "openai": "PNG",
        "replicate": "PNG",
        "fal": "PNG",
    }
    assert balance(account_id)[1] == 0
