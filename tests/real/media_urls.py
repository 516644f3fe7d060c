"""Asks vLLM's own connector for media by URL. Runs in its environment: (allowed hosts, URLs) in, what came out.

It listens on a port of its own, so what a URL reaches is known; data URLs need no host.
"""

from __future__ import annotations

import http.server
import json
import sys
import threading


class Picture(http.server.BaseHTTPRequestHandler):
    """Says who asked, or leads elsewhere."""

    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(302 if self.path == "/elsewhere" else 404)
        self.send_header("Location", "/here")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    from vllm.multimodal.media.connector import MediaConnector

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Picture)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    answers = []
    for hosts, url in json.load(sys.stdin):
        Picture.asked.clear()
        try:
            size = MediaConnector(allowed_media_domains=hosts).fetch_image(url.replace("PORT", str(server.server_port)))
            said = str(size.size)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
        answers.append([said, list(Picture.asked)])
    print("ANSWERS" + json.dumps(answers))


if __name__ == "__main__":
    main()
