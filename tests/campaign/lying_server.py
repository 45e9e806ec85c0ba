#!/usr/bin/env python3
"""In place of tensorflow_model_server, in a pod of the cases of group D: a server that is not right.

LIE=deaf     the port is open, and every request gets 503: never ready
LIE=loading  ready by its metadata, while its status says that the model is still LOADING
LIE=other    ready and AVAILABLE, and its metadata are those of the next version

Takes the flags of the real one and reads the two that it needs. Nothing of it imports the project:
it runs in the serving image.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLAGS = dict(a.removeprefix("--").partition("=")[::2] for a in sys.argv[1:])
LIE, MODEL = os.environ["LIE"], FLAGS["model_name"]


class Handler(BaseHTTPRequestHandler):
    """Answers GET; no model is behind it."""

    def do_GET(self) -> None:
        number = self.path.partition("/versions/")[2].partition("/")[0]
        if LIE == "deaf":
            return self._say(503, {"error": "not yet"})
        if self.path.endswith("/metadata"):
            answered = str(int(number) + (LIE == "other"))
            spec = {"name": MODEL, "signature_name": "", "version": answered}
            nothing = {"signature_def": {"signature_def": {}}}
            return self._say(200, {"model_spec": spec, "metadata": nothing})
        state = "LOADING" if LIE == "loading" else "AVAILABLE"
        entry = {"version": number, "state": state, "status": {"error_code": "OK"}}
        return self._say(200, {"model_version_status": [entry]})

    def _say(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Silent."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(FLAGS["rest_api_port"])), Handler).serve_forever()
