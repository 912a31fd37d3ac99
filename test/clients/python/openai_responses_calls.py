from driver import FORECAST, PROMPT, WEATHER, see_all, see_few, serve
from openai import OpenAI

TOOLS = [{"type": "function", **WEATHER}]


def connect(url):
    return OpenAI(base_url=f"{url}/v1", api_key="ollama", max_retries=0).responses


def chat(url, model, see):
    see(connect(url).create(model=model, input=PROMPT))


def stream(url, model, see):
    see_all(connect(url).create(model=model, input=PROMPT, stream=True), see)


def tools(url, model, see):
    responses = connect(url)
    called = responses.create(model=model, input=PROMPT, tools=TOOLS)
    see(called)
    call = next(item for item in called.output if item.type == "function_call")
    answered = {"type": "function_call_output", "call_id": call.call_id, "output": FORECAST}
    talk = [{"role": "user", "content": PROMPT}, call.model_dump(exclude_none=True), answered]
    see(responses.create(model=model, input=talk, tools=TOOLS))
    see_all(responses.create(model=model, input=PROMPT, tools=TOOLS, stream=True), see)


def leave(url, model, see):
    see_few(connect(url).create(model=model, input=PROMPT, stream=True), see)


serve("openai", {"chat": chat, "stream": stream, "tools": tools, "leave": leave})
