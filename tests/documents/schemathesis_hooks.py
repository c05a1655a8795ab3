"""What Schemathesis cannot know of this server by itself."""

import re
import zlib

import schemathesis

# OpenAPI 3.1 has no word for the items of a stream. Schemathesis holds each event to the schema of the body, so the
# body gets the schema of one event: its `data` is a frame of the server.
EVENT = {
    "type": "object",
    "properties": {
        "id": {"$ref": "#/components/schemas/Cursor"},
        "event": {"const": "message"},
        "data": {"type": "string", "pattern": r'^\{"id":"[0-9a-f-]{36}","type":"(status|event_stream|chat_response|error)",'},
    },
    "required": ["data"],
    "additionalProperties": False,
}


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """An export is one text, not a list of documents."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_load_schema(context, raw_schema):
    for path in raw_schema["paths"].values():
        for operation in path.values():
            stream = operation["responses"].get("200", {}).get("content", {}).get("text/event-stream")
            if stream:
                stream["schema"] = EVENT


# What there is on a server with `--demo-token`, and what a name for it looks like.
KNOWN = {
    "worldName": ("my-world", re.compile(r"[A-Za-z0-9]([A-Za-z0-9 _-]{0,62}[A-Za-z0-9_-])?")),
    "agentName": ("guide", re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")),
}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes what OpenAPI cannot forbid, and what nobody can wait for, into what can be answered."""
    query = case.query or {}
    if query.get("until") == "never":
        query["until"] = "settled"
    if case.operation.label == "GET /worlds/{worldName}/events" and "after" in query:
        query.pop("before", None)
    # Which addresses may be called is a policy, not a form.
    config = case.body.get("config") if isinstance(case.body, dict) else None
    valid = case.meta is not None and case.meta.generation.mode.is_positive
    if valid and isinstance(config, dict) and isinstance(config.get("baseUrl"), str):
        config["baseUrl"] = "http://127.0.0.1:9/v1"
    # Every other name that was made up becomes one that exists, or hardly a request would get beyond 404. A chain of
    # requests is about its own names.
    if case.meta and case.meta.phase.name.value != "stateful" and case.operation.method.upper() != "PUT":
        for name, value in (case.path_parameters or {}).items():
            known, form = KNOWN.get(name, (None, None))
            if known and isinstance(value, str) and form.fullmatch(value) and zlib.crc32(value.encode()) % 2:
                case.path_parameters[name] = known
