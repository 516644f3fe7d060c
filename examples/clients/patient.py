"""An answer before a deadline, whatever comes between: refusals, an error inside a stream, a connection that is lost.

The package's own `timeout` is of one attempt and of one pause, its `max_retries` end where a stream begins.
"""

import asyncio
import os
import random

import openai

DEADLINE = 600  # seconds, all attempts together
TRIES = 3  # of what the request may itself have caused; a refusal (429, 503) costs nothing and is no try

client = openai.AsyncOpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1",
    api_key=os.environ["TANDEM_API_KEY"],
    timeout=openai.Timeout(120, connect=5),
    max_retries=0,
)


async def attempt(model: str, prompt: str) -> str:
    """The whole answer; a stream, so that a dead connection is noticed after one pause."""
    text, finished = "", False
    stream = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], max_completion_tokens=200, stream=True
    )
    async with stream:
        async for chunk in stream:  # an error inside it is raised as openai.APIError
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finished = finished or choice.finish_reason is not None
    if not finished:
        raise openai.APIConnectionError(message="the stream ended early", request=stream.response.request)
    return text


async def ask(model: str, prompt: str) -> str:
    """Raises TimeoutError at the deadline, by which the server stops working on it, too."""
    lost = 0
    async with asyncio.timeout(DEADLINE):
        while True:
            try:
                return await attempt(model, prompt)
            except openai.APIError as error:
                status = getattr(error, "status_code", None) or int(error.code or 502)
                if status not in (429, 503):
                    lost += 1
                    if status < 500 or lost == TRIES:
                        raise
                response = getattr(error, "response", None)
                seconds = float(response.headers.get("retry-after", 1)) if response else 1
                await asyncio.sleep(seconds * random.uniform(1, 2))  # or all who were refused come back together


async def main() -> None:
    models = await client.with_options(max_retries=5).models.list()
    print(await ask(models.data[0].id, "Say hello."))


if __name__ == "__main__":
    asyncio.run(main())
