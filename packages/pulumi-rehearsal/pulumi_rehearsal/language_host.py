# ruff: noqa: ARG002 (the signatures are those of the protocol)
"""Stands in for `pulumi-language-python`, the plugin through which the engine runs a Python program.

The official command line ships that plugin; an engine built from Go modules comes without it, because the plugin's own
module is published nowhere. This one serves the part of the protocol that `pulumi preview`, `up` and `destroy` need,
and starts the program with the official start script in the Python that runs the rehearsal.

    python -m pulumi_rehearsal.language_host START_SCRIPT ENGINE_ADDRESS

The first line of its output is the port it serves, as the engine expects of every plugin.

Stands for: the plugin pulumi-language-python.
Held by: nothing, its module is published nowhere; the engine, the protocol and the start script are Pulumi's own.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

# `import pulumi` takes two thirds of a second and none of it is needed to serve the protocol. Packages that hold only
# their path let the generated modules below them be imported alone.
for _name in ("pulumi", "pulumi.runtime"):
    _spec = importlib.util.find_spec(_name)
    if _spec is None or _spec.submodule_search_locations is None:
        raise ModuleNotFoundError(_name)
    _package = types.ModuleType(_name)
    _package.__path__ = list(_spec.submodule_search_locations)
    _package.__spec__ = _spec
    sys.modules[_name] = _package

import grpc  # noqa: E402
from google.protobuf.empty_pb2 import Empty  # noqa: E402
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402

MESSAGE_SHOWN = 32
"""Exit status of a program that has told the user what is wrong: the engine adds nothing to it."""

PARENT_CHECK_SECONDS = 1


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python programs for one engine.

    Args:
        start_script: the official `pulumi-language-python-exec`.
        engine: address of the engine, for the program's log messages.
    """

    def __init__(self, start_script: Path, engine: str) -> None:
        self.start_script = start_script
        self.engine = engine
        self.programs: list[subprocess.Popen[bytes]] = []

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> Any:
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(self, request: Any, context: grpc.ServicerContext) -> Any:
        # None: the providers are attached, and naming one would make the engine download it.
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: grpc.ServicerContext) -> Any:
        return language_pb2.GetRequiredPluginsResponse()

    def InstallDependencies(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        # Nothing: the program runs in the environment of the rehearsal, which is the project's own.
        return iter(())

    def About(self, request: Any, context: grpc.ServicerContext) -> Any:
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> Empty:
        return Empty()

    def Run(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Runs the program to its end. Its output goes where ours goes: to the engine, which shows it."""
        environment = {
            **os.environ,
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        directory = request.info.program_directory
        program = subprocess.Popen(self._command(request), cwd=directory, env=environment)
        self.programs.append(program)
        status = program.wait()
        if status == 0:
            return language_pb2.RunResponse()
        if status == MESSAGE_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {status}")

    def end(self) -> NoReturn:
        """Ends the programs, then this process: a program whose engine is gone would wait for its answers for ever."""
        for program in self.programs:
            program.kill()
        # Not sys.exit: it would wait for the thread that waits for the program.
        os._exit(0)

    def _command(self, request: Any) -> list[str]:
        """The official host's command line for the start script."""
        options = {
            "monitor": request.monitor_address,
            "engine": self.engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "pwd": request.info.program_directory,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
        }
        flags = [text for name, value in options.items() for text in (f"--{name}", value)]
        return [sys.executable, "-u", str(self.start_script), *flags, request.info.entry_point]


def main() -> None:
    """Serves until the engine stops us, or is gone: an engine that was killed stops nobody."""
    engine_pid = os.getppid()
    host = LanguageHost(Path(sys.argv[1]), sys.argv[-1])
    signal.signal(signal.SIGINT, lambda *_: host.end())  # with which the engine ends its plugins
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 400 << 20)])
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    while os.getppid() == engine_pid:
        server.wait_for_termination(PARENT_CHECK_SECONDS)
    host.end()


if __name__ == "__main__":
    main()
