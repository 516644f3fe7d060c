"""An answer as it is made. Its status is 200 before it is whole, so two things are looked for that no status tells."""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1",
    api_key=os.environ["TANDEM_API_KEY"],
    timeout=120,  # between two chunks
    max_retries=5,
)
model = client.models.list().data[0].id
stream = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Count from 1 to 20."}],
    max_completion_tokens=200,
    stream=True,
    stream_options={"include_usage": True},
)
finished, tokens = None, 0
try:
    for chunk in stream:
        for choice in chunk.choices:
            print(choice.delta.content or "", end="", flush=True)
            finished = choice.finish_reason or finished
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
except openai.APIError as error:  # the server was full, or died: an event of the stream says so
    raise SystemExit(f"\nthe stream broke off: {error}") from None
if not finished:  # the connection ended in an orderly way, and the answer did not
    raise SystemExit("\nthe stream ended early")
print(f"\n{finished}, {tokens} tokens")
