"""Ollama's own library: nothing changes but the host."""

import os

import ollama

client = ollama.Client(host=os.environ.get("GATEWAY_URL", "http://127.0.0.1:11435"))

print("models:", ", ".join(model.model for model in client.list().models))

messages = [{"role": "user", "content": "Why is the sky blue?"}]
for part in client.chat(model="llama3.2:3b", messages=messages, stream=True):
    print(part.message.content, end="", flush=True)
print()

embeddings = client.embed(model="nomic-embed-text", input=["sky", "sea"]).embeddings
print("embeddings:", len(embeddings), "of", len(embeddings[0]), "numbers")
