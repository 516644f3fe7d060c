"""LangChain: texts as vectors."""

import os

import openai
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr

url, key = os.environ["TANDEM_URL"] + "/v1", os.environ["TANDEM_API_KEY"]
embeddings = OpenAIEmbeddings(
    base_url=url,
    api_key=SecretStr(key),
    model=openai.OpenAI(base_url=url, api_key=key, max_retries=5).models.list().data[0].id,
    check_embedding_ctx_length=False,  # else it sends numbers of tokens of OpenAI's models, which mean others here
    timeout=60,
    max_retries=5,
)
vectors = embeddings.embed_documents(["A host came out of pulumi up.", "It rained in Ulm."])
print(f"{len(vectors)} vectors of {len(vectors[0])} numbers")
