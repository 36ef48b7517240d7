"""Backend of a page with a progress bar. It has the API key and decides who may see which job; the page gets tickets.

duly serve --handlers ...                                             # with DULY_ALLOWED_ORIGINS=http://127.0.0.1:8080
python backend.py                                                     # then open http://127.0.0.1:8080
"""

import json
import os
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

DULY = os.environ.get("DULY_URL", "http://127.0.0.1:8000")
PORT = int(os.environ.get("PORT", "8080"))
FOLDER = Path(__file__).parent
# Built by `npm run build` in clients/typescript, or from node_modules.
CLIENT = Path(os.environ.get("DULY_CLIENT", FOLDER.parents[1] / "clients" / "typescript" / "dist"))
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}


def post(path: str, body: object) -> dict[str, str]:
    key = {"Authorization": f"Bearer {os.environ['DULY_API_KEY']}"} if "DULY_API_KEY" in os.environ else {}
    headers = {"Content-Type": "application/json", **key}
    request = urllib.request.Request(DULY + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def start_job() -> dict[str, str]:
    job = post("/api/v1/jobs", {"type": "sleep", "parameters": {"seconds": 10}})
    return {"jobId": job["jobId"]}


def make_ticket(job_id: str) -> dict[str, str]:
    # Here your application checks that this user may see this job.
    return {"url": DULY, "ticket": post("/api/v1/stream-tickets", {"jobId": job_id})["ticket"]}


def file_of(path: str) -> Path | None:
    if path.startswith("/duly-client/"):
        file = CLIENT / Path(path).name
    else:
        file = FOLDER / {"/": "index.html", "/with-client": "with-client.html"}.get(path, "")
    return file if file.suffix in TYPES and file.is_file() else None


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if (file := file_of(self.path)) is None:
            return self.answer_json(404, {})
        return self.answer(200, TYPES[file.suffix], file.read_bytes())

    def do_POST(self) -> None:
        if self.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            return self.answer_json(403, {})  # a page of another origin; check the user's session here too
        try:
            found = start_job() if self.path == "/jobs" else make_ticket(self.path.removeprefix("/tickets/"))
        except HTTPError as error:
            return self.answer_json(error.code, {})
        except OSError:
            return self.answer_json(503, {})
        return self.answer_json(200, found)

    def answer_json(self, status: int, value: object) -> None:
        self.answer(status, "application/json", json.dumps(value).encode())

    def answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
