"""Reads a mail as Python's email package does, and says what is in it as JSON."""
import json
import sys
from email import message_from_bytes, policy

asked = json.load(sys.stdin)
mail = message_from_bytes(asked["message"].encode(), policy=policy.default)
text = mail.get_body(preferencelist=("plain",))


def said(part):
    content = part.get_content()
    return content if isinstance(content, str) else content.decode()


files = [{"name": part.get_filename(), "type": part.get_content_type(), "text": said(part)} for part in mail.iter_attachments()]
print(json.dumps({
    "from": mail["from"], "to": mail["to"], "subject": mail["subject"], "id": mail["message-id"], "date": mail["date"],
    "auto": mail["auto-submitted"], "text": text.get_content() if text else None, "files": files,
    "defects": [str(defect) for part in mail.walk() for defect in part.defects],
}))
