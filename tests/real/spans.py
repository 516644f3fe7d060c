"""Takes traces by OTLP over HTTP and writes each span as a line of JSON, by vLLM's Python, which has the messages."""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for span in (one for resource in sent.resource_spans for scope in resource.scope_spans for one in scope.spans):
            told = {pair.key: str(pair.value) for pair in span.attributes}
            ids = {"trace": span.trace_id.hex(), "parent": span.parent_span_id.hex()}
            print(json.dumps({"path": self.path, "name": span.name, **ids, "attributes": told}), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
