#!/usr/bin/env bash
# One answer, and a stream. curl asks again what is refused (429, 503), after Retry-After, for five minutes at most.
set -euo pipefail

ask() {
  curl --silent --show-error --fail --retry 10 --retry-max-time 300 --max-time 300 \
    -H "Authorization: Bearer $TANDEM_API_KEY" -H 'Content-Type: application/json' "$@"
}

model=$(ask "$TANDEM_URL/v1/models" | sed -E 's/.*"data":\[\{"id":"([^"]*)".*/\1/')
messages='[{"role": "user", "content": "Say hello."}]'

ask "$TANDEM_URL/v1/chat/completions" -d '{"model": "'"$model"'", "messages": '"$messages"', "max_completion_tokens": 50}'
echo
# Inside a stream no status tells of an error, nor that it is whole.
ask --no-buffer "$TANDEM_URL/v1/chat/completions" \
  -d '{"model": "'"$model"'", "messages": '"$messages"', "max_completion_tokens": 50, "stream": true}' |
  tee /dev/stderr | awk '/^data: \{"error"/ { failed = 1 } /^data: \[DONE\]/ { done = 1 } END { exit failed || !done }'
