#!/usr/bin/env bash
# With `lb_try_duration`, a request whose upstream refused the connection goes to another one. In Caddy 2.6.2, as in
# Debian 12, that fails for every request with a body: the first try has closed the body ("invalid Read on closed Body"),
# and the client gets 502 though the other upstream is well. With `fail_duration` that counts against the upstream that is
# well, and the next clients get 503. With `buffer_requests` it works, for the price of holding bodies back.
# Seen: 202 only, without a body; not only 202 with one; 202 only with `buffer_requests`.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
chmod 755 .
apt-get download -qq caddy=2.6.2-5 2>/dev/null
dpkg -x caddy_2.6.2-5_*.deb .
cat > upstream.py <<'PYTHON'
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


refusing = socket.socket()  # bound, and not listening
refusing.bind(("127.0.0.1", 0))
server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
print(refusing.getsockname()[1], server.server_address[1], flush=True)
server.serve_forever()
PYTHON
python3 upstream.py > ports &
for _ in $(seq 100); do [ -s ports ] || sleep 0.1; done
read -r refusing well < ports
statuses() { # directives of the reverse proxy, options of curl
    local listen
    listen=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    cat > Caddyfile <<CADDY
{
    admin off
}
http://127.0.0.1:$listen {
    reverse_proxy 127.0.0.1:$refusing 127.0.0.1:$well {
        lb_policy round_robin
        lb_try_duration 2s
        $1
    }
}
CADDY
    HOME=$folder ./usr/bin/caddy run --adapter caddyfile --config Caddyfile 2> log &
    local caddy=$!
    curl -s --retry 20 --retry-connrefused --retry-delay 1 -o /dev/null -X POST "http://127.0.0.1:$listen/"
    for _ in 1 2 3 4; do
        curl -s -o /dev/null -w '%{http_code} ' -X POST "${@:2}" "http://127.0.0.1:$listen/"
    done
    kill "$caddy"
    wait "$caddy" 2>/dev/null || true
}
without=$(statuses "")
with=$(statuses "" -d text)
buffered=$(statuses buffer_requests -d text)
./usr/bin/caddy version
printf 'without a body: %s\nwith a body: %s\nwith buffer_requests: %s\n' "$without" "$with" "$buffered"
all="202 202 202 202 "
test "$without" = "$all" && test "$with" != "$all" && test "$buffered" = "$all"
