#!/bin/sh
# Ollama's own API. Usage: GATEWAY_URL=http://127.0.0.1:11435 sh examples/curl/ollama.sh
set -eu
url=${GATEWAY_URL:-http://127.0.0.1:11435}

echo "The models of all backends, as one list:"
curl -sf "$url/api/tags"
echo

echo "A chat, streamed:"
curl -sfN "$url/api/chat" -d '{"model": "llama3.2:3b", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}'

echo "An embedding:"
curl -sf "$url/api/embed" -d '{"model": "nomic-embed-text", "input": "Why is the sky blue?"}' | head -c 200
echo

echo "Which backend answered, why that one, and how many were asked:"
curl -sf -o /dev/null -D - "$url/api/generate" -d '{"model": "llama3.2:3b", "prompt": "Hi", "stream": false}' | grep -i '^x-llamero'
