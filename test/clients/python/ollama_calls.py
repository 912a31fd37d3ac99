from driver import FORECAST, MESSAGES, PROMPT, TEXTS, WEATHER, see_all, see_few, serve
from ollama import Client

TOOLS = [{"type": "function", "function": WEATHER}]


def list_(url, _model, see):
    see(Client(host=url).list())


def show(url, model, see):
    see(Client(host=url).show(model))


def chat(url, model, see):
    see(Client(host=url).chat(model=model, messages=MESSAGES))


def generate(url, model, see):
    see(Client(host=url).generate(model=model, prompt=PROMPT))
    see_all(Client(host=url).generate(model=model, prompt=PROMPT, stream=True), see)


def embed(url, model, see):
    see(Client(host=url).embed(model=model, input=TEXTS))
    see(Client(host=url).embeddings(model=model, prompt=PROMPT))


def stream(url, model, see):
    see_all(Client(host=url).chat(model=model, messages=MESSAGES, stream=True), see)


def tools(url, model, see):
    client = Client(host=url)
    called = client.chat(model=model, messages=MESSAGES, tools=TOOLS)
    see(called)
    name = called.message.tool_calls[0].function.name
    answered = {"role": "tool", "content": FORECAST, "tool_name": name}
    see(client.chat(model=model, messages=[*MESSAGES, called.message, answered], tools=TOOLS))
    see_all(client.chat(model=model, messages=MESSAGES, tools=TOOLS, stream=True), see)


def leave(url, model, see):
    see_few(Client(host=url).chat(model=model, messages=MESSAGES, stream=True), see)


serve(
    "ollama",
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
