// The openai package of npm: an answer, and a stream. Node.js 22 or later.
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: `${process.env.TANDEM_URL}/v1`,
  apiKey: process.env.TANDEM_API_KEY,
  timeout: 300_000, // ms; of each attempt
  maxRetries: 5, // of what is refused (429, 503), when Retry-After says so
});
const model = (await client.models.list()).data[0].id;
const messages = [{ role: "user", content: "Say hello." }];

const answer = await client.chat.completions.create({ model, messages, max_completion_tokens: 200 });
console.log(answer.choices[0].message.content);

const stream = await client.chat.completions.create({ model, messages, max_completion_tokens: 200, stream: true });
let finished;
for await (const chunk of stream) {
  // an error inside the stream is thrown, as OpenAI.APIError
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
  finished = chunk.choices[0]?.finish_reason ?? finished;
}
if (!finished) throw new Error("the stream ended early");
console.log(`\n${finished}`);
