#!/usr/bin/env bash
# A strong ETag names one sequence of bytes, so what is compressed on the way needs another one, or a weak one
# (RFC 9110, 8.8.3.3): nginx and HAProxy make it weak, Apache and lighttpd give it a suffix. Caddy 2.6.2, as in Debian
# 12, compresses (`encode gzip`) and passes the upstream's strong ETag on unchanged.
# Seen: ETag "7" on the response as it is and on the compressed one.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
apt-get download -qq caddy=2.6.2-5 2>/dev/null
dpkg -x caddy_2.6.2-5_*.deb .
cat > upstream.py <<'PYTHON'
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"text":"' + b"x" * 1000 + b'"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"7"')
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
print(server.server_address[1], flush=True)
server.serve_forever()
PYTHON
python3 upstream.py > port &
for _ in $(seq 100); do [ -s port ] || sleep 0.1; done
listen=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > Caddyfile <<CADDY
{
    admin off
}
http://127.0.0.1:$listen {
    encode gzip
    reverse_proxy 127.0.0.1:$(cat port)
}
CADDY
HOME=$folder ./usr/bin/caddy run --adapter caddyfile --config Caddyfile 2> log &
head_of() {
    curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -D - -H "Accept-Encoding: $1" "http://127.0.0.1:$listen/" | tr -d '\r' |
        grep -i -E '^(etag|content-encoding):' | sort
}
plain=$(head_of identity)
compressed=$(head_of gzip)
./usr/bin/caddy version
printf 'as it is:\n%s\ncompressed:\n%s\n' "$plain" "$compressed"
test "$plain" = 'Etag: "7"' && test "$compressed" = $'Content-Encoding: gzip\nEtag: "7"'
