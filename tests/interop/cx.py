"""Is a user of `google-cloud-dialogflow-cx` over REST: creates, reads, lists, changes and deletes webhooks, and says what came back."""

import importlib
import json
import sys

from google.api_core.exceptions import GoogleAPICallError
from google.cloud import dialogflowcx_v3, dialogflowcx_v3beta1
from google.oauth2.credentials import Credentials
from google.protobuf import field_mask_pb2

asked = json.load(sys.stdin)
cx = {"v3": dialogflowcx_v3, "v3beta1": dialogflowcx_v3beta1}[asked["version"]]
webhooks = importlib.import_module(f"{cx.__name__}.services.webhooks")
environments = importlib.import_module(f"{cx.__name__}.services.environments")
how = {"host": asked["url"], "url_scheme": "http", "credentials": Credentials(asked["token"])}
client = cx.WebhooksClient(transport=webhooks.transports.WebhooksRestTransport(**how))
staging = cx.EnvironmentsClient(transport=environments.transports.EnvironmentsRestTransport(**how))
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
overrides = asked["environment"]["webhookConfig"]["webhookOverrides"]
for override, name in zip(overrides, created):
    override["name"] = name
# The overrides come back sorted by name.
overrides.sort(key=lambda override: override["name"])
wanted = cx.Environment.from_json(json.dumps(asked["environment"]))
made = staging.create_environment(parent=agent, environment=wanted).result()
wanted.name = made.name
said["environment"] = {"name": made.name, "updated": made.update_time is not None}
read = staging.get_environment(name=made.name)
wanted.update_time = read.update_time
said["environment"]["same"] = True if read == wanted else json.loads(cx.Environment.to_json(read, use_integers_for_enums=False))
said["environment"]["listed"] = [one.name for one in staging.list_environments(parent=agent)] == [made.name]
others = [staging.create_environment(parent=agent, environment=cx.Environment(display_name=f"other {n}")).result() for n in range(4)]
pager = staging.list_environments(request={"parent": agent, "page_size": 3})
pages = [len(page.environments) for page in pager.pages]
said["environment"]["pages"] = [len(pages), sum(pages)]
for other in others:
    staging.delete_environment(name=other.name)
renamed = cx.Environment(name=made.name, description="changed")
mask = field_mask_pb2.FieldMask(paths=["description"])
renamed = staging.update_environment(environment=renamed, update_mask=mask).result()
said["environment"]["changed"] = [renamed.description, renamed.display_name, len(renamed.webhook_config.webhook_overrides)]
said["referenced"] = failure(lambda: client.delete_webhook(name=created[0]))
staging.delete_environment(name=made.name)
said["environment"]["gone"] = failure(lambda: staging.get_environment(name=made.name))
for name in created:
    client.delete_webhook(name=name)
said["gone"] = failure(lambda: client.get_webhook(name=created[0]))
print(json.dumps(said))
