"""The model calls a function of ours and answers with what it returns; `inference.toolCallParser` is of the model."""

import json
import os

import openai
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam
from openai.types.chat.chat_completion_message_function_tool_call_param import Function


def population(city: str) -> int:
    return {"Ulm": 128_928, "Bonn": 335_789}[city]


TOOLS: list[ChatCompletionFunctionToolParam] = [
    {
        "type": "function",
        "function": {
            "name": "population",
            "strict": True,  # else arguments may be anything: vLLM holds them to the schema only then
            "description": "How many people live in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "enum": ["Ulm", "Bonn"]}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]
client = openai.OpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1", api_key=os.environ["TANDEM_API_KEY"], timeout=300, max_retries=5
)
model = client.models.list().data[0].id
messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "How many people live in Ulm?"}]
asked = client.chat.completions.create(
    model=model,
    messages=messages,
    tools=TOOLS,
    tool_choice={"type": "function", "function": {"name": "population"}},  # "auto" lets the model decide
    max_completion_tokens=1000,
)
for call in asked.choices[0].message.tool_calls or []:
    assert call.type == "function"
    name, arguments = call.function.name, call.function.arguments
    result = population(**json.loads(arguments))
    print(f"{name}({arguments}) = {result}")
    function: Function = {"name": name, "arguments": arguments}
    messages.append({"role": "assistant", "tool_calls": [{"id": call.id, "type": "function", "function": function}]})
    messages.append({"role": "tool", "tool_call_id": call.id, "content": str(result)})
answer = client.chat.completions.create(
    model=model, messages=messages, tools=TOOLS, tool_choice="none", max_completion_tokens=200
)
print(answer.choices[0].message.content)
