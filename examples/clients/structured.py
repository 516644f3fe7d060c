"""An answer by a schema: the server lets the model say nothing else."""

import os
from typing import Literal

import openai
from pydantic import BaseModel, Field


class Review(BaseModel):
    city: str = Field(pattern="^[A-Za-z ]{1,40}$")
    rating: Literal[1, 2, 3, 4, 5]


client = openai.OpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1", api_key=os.environ["TANDEM_API_KEY"], timeout=300, max_retries=5
)
model = client.models.list().data[0].id
try:
    answer = client.chat.completions.parse(
        model=model,
        messages=[{"role": "user", "content": "Rate a city from 1 to 5, as JSON."}],
        response_format=Review,
        max_completion_tokens=2000,  # a model that thinks does so before
    )
except openai.LengthFinishReasonError:
    raise SystemExit("the answer was cut at max_completion_tokens; half a document is none") from None
review = answer.choices[0].message.parsed
assert review, "a model that refuses says so in `message.refusal`"
print(f"{review.city}: {review.rating} of 5")
