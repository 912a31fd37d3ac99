#!/bin/sh
# Anthropic's API. Usage: GATEWAY_URL=http://127.0.0.1:11435 sh examples/curl/anthropic.sh
set -eu
url=${GATEWAY_URL:-http://127.0.0.1:11435}
key=${ANTHROPIC_API_KEY:-ollama}

curl -sfN "$url/v1/messages" -H "x-api-key: $key" -H 'anthropic-version: 2023-06-01' -H 'Content-Type: application/json' -d '{
  "model": "llama3.2:3b",
  "max_tokens": 200,
  "stream": true,
  "messages": [{"role": "user", "content": "Why is the sky blue?"}]
}'
