"""What is measured. A scenario is a function that yields, for one repetition, (row, server, value); the rows are those
of the report. Repetitions of all servers are interleaved, so that what else the machine does hits all alike."""

import json
import os
import shutil
import subprocess
import time
import urllib.request
import uuid

from servers import CLIENT_CORE, ROOT, SERVER_CORE, WORK, Load, Server

ECHO = ["agent-world", "Bun", "node ws", "axum", "fastwebsockets", "socket.io"]
FANOUT = ["agent-world", "Bun", "nats-server", "node ws", "socket.io"]
# About as many messages as take a server half a second, so that the slow ones do not take all the time.
PACE = {"socket.io": 0.15, "node ws": 0.6}


def play(server, scenario, **options):
    """Plays a scenario; what was counted, and `cpu`, the server's microseconds for each message of it."""
    load = Load(server, scenario, **options)
    assert load.line() == "ready"
    before, own = server.cpu(), load.cpu()
    load.go()
    counted = json.loads(load.line())
    used, own = server.cpu() - before, load.cpu() - own
    load.end()
    messages = counted.get("messages") or 1
    return {**counted, "cpu": used * 1e6 / messages, "load": own * 1e6 / messages}


def echoes(size, running):
    for depth, messages in ((1, 50_000), (16, 200_000)):
        for server in running(ECHO):
            count = int(messages * size * PACE.get(server.name, 1))
            played = play(server, "echo", depth=depth, messages=count)
            yield f"echo {depth}", server.name, played["cpu"]
            yield f"load {depth}", server.name, played["load"]


def fanouts(size, running):
    for depth in (1, 16):
        for server in running(FANOUT):
            pace = 0.3 if server.name in PACE else 1
            # More rounds where one costs less; each waits for the disk once.
            events = max(depth, int((96 if depth == 1 else 480) * size * pace) // depth * depth)
            played = play(server, "fanout", depth=depth, events=events)
            yield f"fan-out {depth}", server.name, played["cpu"]
            if server.name == "agent-world":
                length = played["bytes"]
                yield "event", server.name, length
    # The others publish 93 bytes; an event of ours is longer.
    for server in running(["Bun", "nats-server"]):
        played = play(server, "fanout", depth=16, events=max(16, int(480 * size) // 16 * 16), bytes=length)
        yield "fan-out 16, as long", server.name, played["cpu"]


def flatness(size, running):
    for subscribers, events in ((10, 3_200), (100, 640), (1_000, 64)):
        for server in running(["agent-world"]):
            events = max(16, int(events * size) // 16 * 16)
            played = play(server, "fanout", depth=16, events=events, connections=subscribers)
            yield f"subscribers {subscribers}", server.name, played["cpu"]


def handshakes(size, running):
    for depth in (1, 16):
        for server in running(ECHO):
            yield f"handshake {depth}", server.name, play(server, "handshake", depth=depth, messages=int(2_000 * size))["cpu"]


def refusals(size, running):
    for server in running(["agent-world"]):
        yield "refused", server.name, play(server, "refused", depth=16, messages=int(40_000 * size))["cpu"]


def replies(size, running):
    for server in running(["agent-world"]):
        played = play(server, "replies", connections=max(10, int(100 * size)))
        yield "replies", server.name, played["cpu"]
        yield "replies, frames per second", server.name, played["messages"] / played["seconds"]


def durable(size, _):
    # On both cores: whoever writes to the disk is a thread of its own.
    for worlds, messages in ((1, 400), (16, 3_200), (256, 25_600)):
        with Server("agent-world", cores=(SERVER_CORE, CLIENT_CORE)) as server:
            played = play(server, "durable", connections=worlds, messages=int(messages * max(size, 0.25)))
            yield f"durable {worlds}", server.name, played["messages"] / played["seconds"]
            yield f"durable cpu {worlds}", server.name, played["cpu"]
    yield "fsync", "disk", fsyncs(int(400 * size))


def fsyncs(count):
    """How often this disk writes a small record and is asked to keep it, per second."""
    path = WORK / "fsync.probe"
    with open(path, "wb", buffering=0) as file:
        started = time.perf_counter()
        for _ in range(count):
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
        rate = count / (time.perf_counter() - started)
    path.unlink()
    return rate


def resumes(size, _):
    with Server("agent-world") as server:
        played = play(server, "resume", connections=int(1_000 * size))
        yield "resume", server.name, played["cpu"]
        yield "resume, seconds", server.name, played["seconds"]


def first_deltas(size, running):
    for server in running(["agent-world"]):
        played = play(server, "first-delta", messages=int(100 * size))
        yield "first delta", server.name, played["ms"]
        yield "first delta, best", server.name, played["best"]


def memory(scenario, name, settle, count, *arguments):
    with Server(name, *arguments) as server:
        load = Load(server, scenario, connections=count)
        assert load.line() == "ready"
        before = server.memory()
        load.go()
        load.line()
        time.sleep(settle)
        grown = (server.memory() - before) / count
        load.end()
    return grown


def idle(size, _):
    for name in ECHO[:-1] + ["socket.io", "nats-server"]:
        if size < 1 and name not in ("agent-world", "Bun"):
            continue
        yield "idle", name, memory("idle", name, 1.5, int(10_000 * size), *quick_sleep(name))
    yield "own worlds", "agent-world", memory("own-worlds", "agent-world", 4, int(10_000 * size), *quick_sleep("agent-world"))


def quick_sleep(name):
    # What falls asleep after 30 s otherwise; nobody wants to wait for that.
    return ("--idle-unload", "1s") if name == "agent-world" else ()


def cold_starts(size, _):
    """1,000 persistent worlds on disk, and one with a history of 100,000 events."""
    data = WORK / "cold"
    if not (data / "made").exists():
        shutil.rmtree(data, ignore_errors=True)
        with Server("agent-world", data=data) as server:
            load = Load(server, "make-worlds", connections=1_000)
            load.line()
            load.end()
            token = make_history(server, 100_000)
        (data / "made").write_text(token)
    with Server("agent-world", data=data) as server:
        yield "cold start", server.name, server.up_after * 1_000
        yield "open", server.name, play(server, "open", token=(data / "made").read_text())["ms"]


def make_history(server, length):
    """A persistent world with that many events: a short conversation, exported, made long, and imported again. Returns
    its user's token."""
    def ask(method, path, body=None, **headers):
        url = f"http://{server.address}{path}"
        asked = urllib.request.Request(url, body and body.encode(), headers, method=method)
        return urllib.request.urlopen(asked, timeout=120).read().decode()

    token = json.loads(ask("POST", "/session"))["sessionToken"]
    known, as_json = {"Authorization": f"Bearer {token}"}, {"Content-Type": "application/json"}
    say = lambda world: ask("POST", f"/worlds/{world}/chat", '{"message": "Is anybody here?"}', **known, **as_json)
    ask("PUT", "/worlds/seed", '{"templateName": "quiet", "persistent": true}', **known, **as_json)
    say("seed")
    head, created, *spoken = ask("GET", "/worlds/seed/export", **known).splitlines()
    lines = [json.dumps({**json.loads(head), "head": length}), created]
    for at in range(length - 1):
        record = json.loads(spoken[at % len(spoken)])
        record.update(seq=at + 2, id=str(uuid.uuid4()))
        lines.append(json.dumps(record))
    ask("POST", "/worlds/import?worldName=history", "\n".join(lines), **known, **{"Content-Type": "application/x-ndjson"})
    # The next message brings the snapshot.
    say("history")
    return token


def estimates():
    """The medians that Criterion left, nanoseconds by name."""
    criterion = ROOT / "target/criterion"
    return {"/".join(file.relative_to(criterion).parts[:-2]): json.loads(file.read_text())["median"]["point_estimate"]
            for file in sorted(criterion.glob("**/new/estimates.json"))}


def decode_ratio():
    found = estimates()
    return found["decode chat of 300 bytes/ours"] / found["decode chat of 300 bytes/plain serde"]


def codec():
    """The medians of the Criterion benchmarks, which `run.py` runs, and what ajv takes in Node; nanoseconds by name."""
    peers = WORK / "peers"
    ajv = subprocess.run(["node", peers / "ajv.mjs", ROOT / "generated/schema-bundle.json"], capture_output=True, text=True,
                         check=True)
    return dict(sorted({**estimates(), **json.loads(ajv.stdout)}.items()))


# Each with how many of the repetitions it gets: more what varies most, fewer what takes long.
ALL = [(echoes, 2), (handshakes, 2), (fanouts, 1), (flatness, 0.6), (refusals, 0.6), (replies, 0.6), (durable, 1),
       (resumes, 0.6), (first_deltas, 1), (cold_starts, 1), (idle, 0.6)]
