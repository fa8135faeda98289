"""Is a user of `google-cloud-dialogflow-cx` over REST: creates, reads, lists, changes and deletes webhooks, and says what came back."""

import json
import sys

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import dialogflowcx_v3, dialogflowcx_v3beta1
from google.oauth2.credentials import Credentials
from google.protobuf import field_mask_pb2

asked = json.load(sys.stdin)
cx = {"v3": dialogflowcx_v3, "v3beta1": dialogflowcx_v3beta1}[asked["version"]]
services = getattr(cx.services, "webhooks")
transport = services.transports.WebhooksRestTransport(host=asked["url"], url_scheme="http", credentials=Credentials(asked["token"]))
client = cx.WebhooksClient(transport=transport)
agent = asked["agent"]


def plain(webhook):
    return json.loads(cx.Webhook.to_json(webhook, use_integers_for_enums=False, always_print_fields_with_no_presence=False))


def failure(call):
    try:
        call()
    except GoogleAPICallError as error:
        return {"code": error.code, "message": error.message}
    return None


said = {"same": [], "failures": []}
created = []
for document in asked["webhooks"]:
    wanted = cx.Webhook.from_json(json.dumps(document))
    made = client.create_webhook(parent=agent, webhook=wanted)
    created.append(made.name)
    wanted.name = made.name
    read = client.get_webhook(name=made.name)
    said["same"].append(True if read == wanted and made == wanted else plain(read))
said["listed"] = sorted(one.name for one in client.list_webhooks(request={"parent": agent, "page_size": 1})) == sorted(created)

changed = cx.Webhook(name=created[0], display_name="renamed", timeout={"seconds": 7, "nanos": 500_000_000})
changed = client.update_webhook(webhook=changed, update_mask=field_mask_pb2.FieldMask(paths=["display_name", "timeout"]))
said["changed"] = plain(changed)

for document in asked["refused"]:
    webhook = cx.Webhook.from_json(json.dumps(document))
    said["failures"].append(failure(lambda: client.create_webhook(parent=agent, webhook=webhook)))
for name in created:
    client.delete_webhook(name=name)
said["gone"] = failure(lambda: client.get_webhook(name=created[0]))
print(json.dumps(said))
