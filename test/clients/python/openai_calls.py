from driver import FORECAST, MESSAGES, PROMPT, TEXTS, WEATHER, see_all, see_few, serve
from openai import OpenAI

TOOLS = [{"type": "function", "function": WEATHER}]
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}


def connect(url):
    return OpenAI(base_url=f"{url}/v1", api_key="ollama", max_retries=0)


def list_(url, _model, see):
    see(connect(url).models.list())


def show(url, model, see):
    see(connect(url).models.retrieve(model))


def chat(url, model, see):
    see(connect(url).chat.completions.create(model=model, messages=MESSAGES))


def generate(url, model, see):
    see(connect(url).completions.create(model=model, prompt=PROMPT))
    see_all(connect(url).completions.create(model=model, prompt=PROMPT, **STREAMED), see)


def embed(url, model, see):
    see(connect(url).embeddings.create(model=model, input=TEXTS))
    see(connect(url).embeddings.create(model=model, input=PROMPT, encoding_format="float", dimensions=8))


def stream(url, model, see):
    see_all(connect(url).chat.completions.create(model=model, messages=MESSAGES, stream=True), see)


def tools(url, model, see):
    completions = connect(url).chat.completions
    called = completions.create(model=model, messages=MESSAGES, tools=TOOLS)
    see(called)
    message = called.choices[0].message
    answered = {"role": "tool", "content": FORECAST, "tool_call_id": message.tool_calls[0].id}
    see(completions.create(model=model, messages=[*MESSAGES, message, answered], tools=TOOLS))
    see_all(completions.create(model=model, messages=MESSAGES, tools=TOOLS, **STREAMED), see)


def leave(url, model, see):
    see_few(connect(url).chat.completions.create(model=model, messages=MESSAGES, stream=True), see)


serve(
    "openai",
    {
        "list": list_,
        "show": show,
        "chat": chat,
        "generate": generate,
        "embed": embed,
        "stream": stream,
        "tools": tools,
        "leave": leave,
    },
)
