"""Is a Dialogflow agent: posts a WebhookRequest of Google's own types to a code, and says what they read in the answer."""

import json
import sys
import urllib.error
import urllib.request

from google.cloud import dialogflowcx_v3, dialogflowcx_v3beta1

asked = json.load(sys.stdin)
types = {"v3": dialogflowcx_v3, "v3beta1": dialogflowcx_v3beta1}[asked["version"]]
# A document that is no WebhookRequest or WebhookResponse is refused here, also because of unknown fields.
sent = types.WebhookRequest.from_json(json.dumps(asked["request"]))
body = types.WebhookRequest.to_json(sent, use_integers_for_enums=False, always_print_fields_with_no_presence=False)
post = urllib.request.Request(asked["url"], body.encode(), {"content-type": "application/json"})
try:
    with urllib.request.urlopen(post) as answered:
        status, text = answered.status, answered.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, ""
read = types.WebhookResponse.from_json(text) if text else None
print(json.dumps({
    "status": status,
    "response": read and json.loads(types.WebhookResponse.to_json(read, use_integers_for_enums=False, always_print_fields_with_no_presence=False)),
}))
