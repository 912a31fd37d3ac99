#!/bin/sh
# OpenAI's API. Usage: GATEWAY_URL=http://127.0.0.1:11435 sh examples/curl/openai.sh
set -eu
url=${GATEWAY_URL:-http://127.0.0.1:11435}/v1
key=${OPENAI_API_KEY:-ollama}

curl -sf "$url/models" -H "Authorization: Bearer $key"
echo
curl -sfN "$url/chat/completions" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{
  "model": "llama3.2:3b",
  "stream": true,
  "messages": [{"role": "user", "content": "Why is the sky blue?"}]
}'
curl -sf "$url/responses" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d '{
  "model": "llama3.2:3b",
  "input": "Why is the sky blue?"
}'
echo
