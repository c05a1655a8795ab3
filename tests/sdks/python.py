"""The generated Python code against a running server: python.py URL, beside `agent_world_http` and `agent_world_messages.py`."""

import asyncio
import importlib
import json
import pkgutil
import sys

import agent_world_http
from agent_world_http import AuthenticatedClient, Client
from agent_world_http.api.session import create_session
from agent_world_http.api.worlds import create_world, list_templates, update_world
from agent_world_http.models import CreateWorldBody, NewSession, Problem, World, WorldPatch
from agent_world_messages import ClientMessage, ServerMessage
from pydantic import ValidationError
from websockets.asyncio.client import connect


def over_http(url: str) -> str:
    client = Client(base_url=url)
    templates = list_templates.sync(client=client)
    assert any(template.name == "default-world" for template in templates), templates
    session = create_session.sync(client=client)
    assert isinstance(session, NewSession), session

    caller = AuthenticatedClient(base_url=url, token=session.session_token)
    world = create_world.sync("generated", client=caller, body=CreateWorldBody(template_name="default-world"))
    assert isinstance(world, World) and world.template_name == "default-world", world
    refused = create_world.sync("generated", client=caller, body=CreateWorldBody(template_name="debate"))
    assert isinstance(refused, Problem) and refused.code == "CONFLICT", refused
    titled = update_world.sync("generated", client=caller, body=WorldPatch(title="Made by a generator"))
    assert isinstance(titled, World) and titled.title == "Made by a generator", titled
    untitled = update_world.sync("generated", client=caller, body=WorldPatch(title=None))
    assert isinstance(untitled, World) and not untitled.title, untitled
    return session.session_token


def imports() -> int:
    """Every module that was generated."""
    modules = [module.name for module in pkgutil.walk_packages(agent_world_http.__path__, "agent_world_http.")]
    for module in modules:
        importlib.import_module(module)
    return len(modules)


def frame(kind: str, **payload: object) -> str:
    message = ClientMessage.model_validate({"id": kind, "type": kind, "payload": payload})
    return message.model_dump_json(exclude_unset=True)


async def over_websocket(url: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    seen = []
    async with connect(url.replace("http", "ws", 1) + "/ws", additional_headers=headers) as socket:
        await socket.send(frame("world_select", templateName="default-world", worldName="generated"))
        await socket.send(frame("chat_send", content="Hello, agents!"))
        async for text in socket:
            message = ServerMessage.model_validate_json(text).root
            assert message.type != "error", message
            seen.append(message)
            if message.type == "event_stream" and getattr(message.payload.event.root.payload, "root", None) is not None:
                if message.payload.event.root.payload.root.action == "settled":
                    break
    ends = [message for message in seen if message.type == "chat_response" and message.payload.complete]
    assert ends and all(message.payload.content for message in ends), seen
    return len(seen)


def refuses() -> None:
    """The models refuse what the schema refuses."""
    try:
        frame("chat_send", content="")
    except ValidationError:
        return
    raise AssertionError("an empty message was accepted")


def keeps_nulls() -> None:
    """What is null in a merge patch is sent as null: it removes the setting."""
    text = frame("agent_update", agentName="guide", config={"model": None, "temperature": 0.5})
    assert json.loads(text)["payload"]["config"] == {"model": None, "temperature": 0.5}, text


url = sys.argv[1]
refuses()
keeps_nulls()
modules = imports()
assert modules > 50, modules
token = over_http(url)
frames = asyncio.run(over_websocket(url, token))
print(f"{frames} frames as pydantic models, and 6 calls over HTTP with {modules} modules")
