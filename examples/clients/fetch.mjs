// No package: an answer before a deadline, whatever comes between. Node.js 22 or later, or a server's runtime with fetch.
// Not for browsers: whoever has the page has the key.
const DEADLINE = 600_000; // ms, all attempts together
const TRIES = 3; // of what the request may itself have caused; a refusal (429, 503) costs nothing and is no try

async function call(path, body, signal) {
  const headers = { Authorization: `Bearer ${process.env.TANDEM_API_KEY}`, "Content-Type": "application/json" };
  const init = body ? { method: "POST", body: JSON.stringify(body) } : {};
  const response = await fetch(process.env.TANDEM_URL + path, { ...init, headers, signal });
  if (response.ok) return response;
  const after = Number(response.headers.get("retry-after") ?? 1);
  throw Object.assign(new Error(await response.text()), { status: response.status, after });
}

async function streamed(body, signal) {
  const response = await call("/v1/chat/completions", { ...body, stream: true }, signal);
  let text = "", rest = "";
  for await (const part of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + part).split("\n");
    rest = lines.pop();
    for (const line of lines.filter((one) => one.startsWith("data: "))) {
      if (line === "data: [DONE]") return text;
      const event = JSON.parse(line.slice(6));
      // The status was 200; an error says so only here.
      if (event.error) throw Object.assign(new Error(event.error.message), { status: event.error.code });
      text += event.choices[0]?.delta?.content ?? "";
    }
  }
  throw new Error("the stream ended early");
}

async function patient(attempt) {
  const signal = AbortSignal.timeout(DEADLINE);
  for (let lost = 0; ; ) {
    try {
      return await attempt(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (![429, 503].includes(error.status) && (error.status < 500 || ++lost === TRIES)) throw error;
      // Longer than said by chance, or all who were refused come back together.
      await new Promise((resolve) => setTimeout(resolve, (error.after ?? 1) * (1 + Math.random()) * 1000));
    }
  }
}

const models = await patient((signal) => call("/v1/models", null, signal).then((response) => response.json()));
const messages = [{ role: "user", content: "Say hello." }];
console.log(await patient((signal) => streamed({ model: models.data[0].id, messages, max_completion_tokens: 200 }, signal)));
