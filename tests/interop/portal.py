"""Is a user of Esri's `arcgis` for Python: manages an organization's webhooks with `gis.admin.webhooks`, and says what came back.

The client insists on TLS, which a deployment has in front of the host; here a thread of this program stands in for that front.
"""

import json
import logging
import socket
import ssl
import sys
import tempfile
import threading
import urllib.request
import warnings

asked = json.load(sys.stdin)
warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)


def front(certificate, key, host, port):
    """Listens with TLS and passes what comes on to the host; the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as chain:
        chain.write(certificate + "\n" + key + "\n")
        chain.flush()
        context.load_cert_chain(chain.name)
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve():
        while True:
            plain, _ = listener.accept()
            try:
                client = context.wrap_socket(plain, server_side=True)
                server = socket.create_connection((host, port))
            except OSError:
                continue
            for pair in ((client, server), (server, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


port = front(asked["certificate"], asked["key"], *asked["host"])

import arcgis  # noqa: E402
from arcgis.gis import GIS  # noqa: E402

gis = GIS(f"https://127.0.0.1:{port}/portal", token=asked["token"], verify_cert=False)
manager = gis.admin.webhooks


def plain(webhook):
    return json.loads(json.dumps(dict(webhook.properties), default=dict))


said = {"client": arcgis.__version__}
said["settings"] = manager.settings
manager.settings = {"notificationAttempts": 2, "notificationTimeOutInSeconds": 20, "notificationElapsedTimeInSeconds": 7}
said["settings_after"] = manager.settings

everything = manager.create(name="Everything", url=asked["url"] + "/all")
shared = manager.create(
    name="Shared, publicly",
    url=asked["url"] + "/shared",
    events=["/items/share", "/groups/" + "a" * 32],
    number_of_failures=3,
    days_in_past=2,
    secret="shared-value",
)
said["created"] = [plain(everything), plain(shared)]
more = [manager.create(name=f"More{n}", url=asked["url"] + "/more", events=["/roles"]) for n in range(26)]
said["listed"] = sorted(webhook.properties.name for webhook in manager.list())
said["deleted"] = all(webhook.delete() for webhook in more)
said["got"] = manager.get("shared, PUBLICLY").properties.id == shared.properties.id

said["update"] = shared.update(name="Shared", events=["/items/share"], number_of_failures=4)
said["updated"] = plain(manager.get("Shared"))
said["deactivate"] = shared.deactivate()
said["inactive"] = shared.properties.isActive
said["activate"] = shared.activate()
said["active"] = shared.properties.isActive

said["refused"] = None
try:
    manager.create(name="Slip", url=asked["url"] + "/x", events=["/items/shar"])
except Exception as error:
    said["refused"] = str(error)

# Something happens in the organization, and is delivered before this returns.
event = urllib.request.Request(asked["events"], json.dumps(asked["event"]).encode(), {"authorization": "Bearer " + asked["token"], "content-type": "application/json"})
urllib.request.urlopen(event).read()
said["notifications"] = json.loads(json.dumps(shared.notifications, default=dict))
said["delete"] = [everything.delete(), manager.get("Shared").delete()]
said["left"] = [webhook.properties.name for webhook in manager.list()]
print(json.dumps(said))
