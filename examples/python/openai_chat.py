"""OpenAI's library, with chat completions and responses."""

import os

from openai import OpenAI

url = os.environ.get("GATEWAY_URL", "http://127.0.0.1:11435")
# A key has to be there for the library; what it is matters only to a gateway that asks for one.
client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("OPENAI_API_KEY", "ollama"))

stream = client.chat.completions.create(
    model="llama3.2:3b",
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

print(client.responses.create(model="llama3.2:3b", input="And the sea?").output_text)
