"""One answer."""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1",
    api_key=os.environ["TANDEM_API_KEY"],
    timeout=300,  # a stack's timeouts.clientSeconds; of each attempt
    max_retries=5,  # of what is refused (429, 503), when Retry-After says so; 2 are too few for a burst
)
model = client.models.list().data[0].id  # or another that the stack serves
answer = client.chat.completions.create(
    model=model, messages=[{"role": "user", "content": "Say hello."}], max_completion_tokens=200
)
print(answer.choices[0].message.content)
if answer.usage:
    print(f"{answer.usage.completion_tokens} tokens")
