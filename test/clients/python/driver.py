"""Makes a client library do what standard input asks for, one JSON object a line, and writes what an application sees of it."""

import json
import sys
from importlib.metadata import version

# Events of a stream before the application leaves, and what it talks about: as in client.ts.
EVENTS_BEFORE_LEAVING = 3
PROMPT = "Tell me about water"
MESSAGES = [{"role": "user", "content": PROMPT}]
TEXTS = ["the river", "a young llama"]
FORECAST = "mild, with rain in the evening"
WEATHER = {
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def plain(value):
    """As plain JSON, with the class of what is not."""
    if hasattr(value, "model_dump"):
        return {"class": type(value).__name__, **value.model_dump(mode="json", warnings=False)}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def raised(error):
    """As `Raised` in client.ts."""
    kind = type(error)
    told = {"class": f"{kind.__module__}.{kind.__qualname__}", "message": str(error)}
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        told["status"] = status
    body = getattr(error, "body", None)
    if body is not None:
        told["body"] = plain(body)
    return told


def see_all(stream, see):
    for event in stream:
        see(event)


def see_few(stream, see):
    """Leaves after a few events."""
    for count, event in enumerate(stream, start=1):
        see(event)
        if count == EVENTS_BEFORE_LEAVING:
            break
    stream.close()


def serve(package, calls):
    """`calls`: functions of base URL, model and a function to show what is seen, by the call's name."""

    def write(line):
        print(json.dumps(line), flush=True)

    write({"version": version(package), "calls": list(calls)})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            calls[asked["call"]](asked["url"], asked["model"], lambda value: write({"saw": plain(value)}))
            write({"raised": None})
        except Exception as error:
            write({"raised": raised(error)})
