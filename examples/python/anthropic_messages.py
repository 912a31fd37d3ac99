"""Anthropic's library. Its base URL has no /v1."""

import os

from anthropic import Anthropic

client = Anthropic(
    base_url=os.environ.get("GATEWAY_URL", "http://127.0.0.1:11435"),
    api_key=os.environ.get("ANTHROPIC_API_KEY", "ollama"),
)

with client.messages.stream(
    model="llama3.2:3b",
    max_tokens=200,
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    usage = stream.get_final_message().usage
print(f"\n{usage.input_tokens} tokens in, {usage.output_tokens} out")
