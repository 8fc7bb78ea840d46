"""A web server for workloads of the lab: web.py PORT TEXT

Instead of a text, `--peer` answers whom it sees, and the size of segments that was agreed upon."""

import http.server
import socket
import sys


class Server(http.server.ThreadingHTTPServer):
    """Of both families, where there are both."""
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = (self.text() + "\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def text(self):
        if sys.argv[2] != "--peer":
            return sys.argv[2]
        size = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        return f"{self.client_address[0].removeprefix('::ffff:')} {size}"

    def log_message(self, *_):
        pass


Server(("", int(sys.argv[1])), Handler).serve_forever()
