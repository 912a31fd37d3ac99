from anthropic import Anthropic
from driver import FORECAST, MESSAGES, WEATHER, see_all, see_few, serve

TOOLS = [
    {"name": WEATHER["name"], "description": WEATHER["description"], "input_schema": WEATHER["parameters"]},
]


def connect(url):
    return Anthropic(base_url=url, api_key="ollama", max_retries=0)


def create(url, model, **rest):
    return connect(url).messages.create(**{"model": model, "max_tokens": 100, "messages": MESSAGES, **rest})


def list_(url, _model, see):
    see(connect(url).models.list())


def show(url, model, see):
    see(connect(url).models.retrieve(model))


def chat(url, model, see):
    see(create(url, model))


def stream(url, model, see):
    see_all(create(url, model, stream=True), see)


def tools(url, model, see):
    called = create(url, model, tools=TOOLS)
    see(called)
    use = next(block for block in called.content if block.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": FORECAST}
    talk = [*MESSAGES, {"role": "assistant", "content": called.content}, {"role": "user", "content": [result]}]
    see(create(url, model, tools=TOOLS, messages=talk))
    see_all(create(url, model, tools=TOOLS, stream=True), see)
    with connect(url).messages.stream(model=model, max_tokens=100, messages=MESSAGES, tools=TOOLS) as events:
        see(events.get_final_message())


def leave(url, model, see):
    see_few(create(url, model, stream=True), see)


serve(
    "anthropic",
    {"list": list_, "show": show, "chat": chat, "stream": stream, "tools": tools, "leave": leave},
)
