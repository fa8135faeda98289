// Checks with the package `standardwebhooks` whether the delivery on standard input has a valid signature.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The package is installed outside the source tree.
const { Webhook, WebhookVerificationError } = createRequire(`${process.env.INTEROP}/`)("standardwebhooks");

const asked = JSON.parse(readFileSync(0, "utf8"));
try {
  new Webhook(asked.secret).verify(asked.body, asked.headers);
  console.log("verified");
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.log("refused");
}
