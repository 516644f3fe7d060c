"""LangChain: an answer, a stream, an answer by a schema."""

import os
from typing import Literal

import openai
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr


class Review(BaseModel):
    city: Literal["Ulm", "Bonn"]
    rating: Literal[1, 2, 3, 4, 5]


url, key = os.environ["TANDEM_URL"] + "/v1", os.environ["TANDEM_API_KEY"]
model = ChatOpenAI(
    base_url=url,
    api_key=SecretStr(key),
    model=openai.OpenAI(base_url=url, api_key=key, max_retries=5).models.list().data[0].id,
    timeout=300,
    max_retries=5,
    max_completion_tokens=1000,
)
print(model.invoke("Say hello.").usage_metadata)
finished = None
for chunk in model.stream("Count from 1 to 20."):  # an error inside it is raised, as openai.APIError
    print(chunk.text, end="", flush=True)
    finished = chunk.response_metadata.get("finish_reason", finished)
if not finished:
    raise SystemExit("\nthe stream ended early")
print(f"\n{finished}")
print(model.with_structured_output(Review, method="json_schema").invoke("Rate a city from 1 to 5, as JSON."))
