"""Texts as vectors, and which of them is nearest to a question. The stack serves a model that embeds."""

import os

import openai

client = openai.OpenAI(
    base_url=os.environ["TANDEM_URL"] + "/v1", api_key=os.environ["TANDEM_API_KEY"], timeout=60, max_retries=5
)
model = client.models.list().data[0].id
texts = ["A host came out of pulumi up.", "Its first token was late.", "It rained in Ulm."]
answer = client.embeddings.create(model=model, input=["How was the weather?", *texts])
question, *vectors = [one.embedding for one in answer.data]


def likeness(vector: list[float]) -> float:
    """vLLM's vectors have length 1, so the product is the cosine."""
    return sum(one * other for one, other in zip(question, vector, strict=True))


for text, vector in sorted(zip(texts, vectors, strict=True), key=lambda pair: -likeness(pair[1])):
    print(f"{likeness(vector):.3f}  {text}")
