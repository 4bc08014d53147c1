"""An agent on OpenAI's SDK that can look up the weather."""

import json

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def get_weather(city):
    return f"sunny in {city}"


def ask(client, question):
    """The written answer to one question."""
    with client.realtime.connect(model="gpt-realtime") as connection:
        connection.session.update(
            session={"type": "realtime", "output_modalities": ["text"], "tools": [WEATHER]}
        )
        content = [{"type": "input_text", "text": question}]
        connection.conversation.item.create(
            item={"type": "message", "role": "user", "content": content}
        )
        connection.response.create()
        return read_answer(connection)


def read_answer(connection):
    text, has_called = "", False
    for event in connection:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.function_call_arguments.done":
            output = get_weather(**json.loads(event.arguments))
            connection.conversation.item.create(
                item={"type": "function_call_output", "call_id": event.call_id, "output": output}
            )
            has_called = True
        elif event.type == "error":
            raise RuntimeError(event.error.message)
        elif event.type == "response.done":
            if not has_called:
                return text
            connection.response.create()
            has_called = False
    raise RuntimeError("the connection was lost")
