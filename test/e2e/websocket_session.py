"""A client of Exec, Attach and PortForward that is not ours: Debian's python3-websocket.

usage: websocket_session.py [--ca FILE] URL PROTOCOL STEP...

A step is send:CHANNEL:TEXT, close:CHANNEL (v5), await:CHANNEL:TEXT or end. Prints, as one line of
JSON, the protocol that the server took, the SHA-256 of its certificate, and what each channel has
brought. With --ca the server's certificate must be signed by that authority, for the URL's host.
"""
import argparse
import hashlib
import json
import ssl

import websocket

PATIENCE_SECONDS = 60
CLOSE_CHANNEL = 255


class Client:
    def __init__(self, arguments):
        options = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": arguments.ca}
        self.channels = {}
        self.socket = websocket.create_connection(
            arguments.url.replace("http", "ws", 1), timeout=PATIENCE_SECONDS,
            subprotocols=[arguments.protocol], sslopt=options if arguments.ca else {})

    def certificate(self):
        if not isinstance(self.socket.sock, ssl.SSLSocket):
            return ""
        return hashlib.sha256(self.socket.sock.getpeercert(binary_form=True)).hexdigest()

    def receive(self):
        """False at the end."""
        try:
            opcode, payload = self.socket.recv_data()
        except websocket.WebSocketConnectionClosedException:
            return False
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return False
        if payload:
            self.channels.setdefault(payload[0], bytearray()).extend(payload[1:])
        return True

    def run(self, step):
        kind, _, rest = step.partition(":")
        channel, _, text = rest.partition(":")
        if kind == "send":
            self.socket.send_binary(bytes([int(channel)]) + text.encode())
        elif kind == "close":
            self.socket.send_binary(bytes([CLOSE_CHANNEL, int(channel)]))
        elif kind == "await":
            while text.encode() not in self.channels.get(int(channel), b""):
                if not self.receive():
                    raise EOFError(f"ended before {step}: {self.channels}")
        elif kind == "end":
            while self.receive():
                pass
        else:
            raise ValueError(step)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ca")
    parser.add_argument("url")
    parser.add_argument("protocol")
    parser.add_argument("steps", nargs="*")
    arguments = parser.parse_args()
    client = Client(arguments)
    certificate = client.certificate()
    for step in arguments.steps:
        client.run(step)
    print(json.dumps({
        "protocol": client.socket.getsubprotocol(),
        "certificate": certificate,
        "channels": {str(n): data.decode("utf-8", "replace") for n, data in client.channels.items()},
    }))


if __name__ == "__main__":
    main()
