// Plays an admin with a browser: signs in to the directory, creates an organization webhook, changes it, reads its log, deletes it.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { chromium } = createRequire(`${process.env.INTEROP}/`)("playwright-core");

const asked = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: asked.browser, args: ["--no-sandbox", "--disable-gpu"] });
const said = { complaints: [] };
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  page.on("console", (message) => message.type() === "error" && said.complaints.push(message.text()));
  page.on("pageerror", (error) => said.complaints.push(String(error)));
  await page.goto(`${asked.url}/portal/sharing/rest/portals/self`);
  said.asked_who = await page.title();
  await page.getByLabel("Username").fill(asked.name);
  await page.getByLabel("Password (the token)").fill(asked.token);
  await page.getByRole("button", { name: "Login" }).click();
  said.signed_in = await page.getByRole("heading", { level: 1 }).textContent();
  await page.getByRole("link", { name: "Webhooks", exact: true }).click();
  await page.getByRole("link", { name: "Create Webhook" }).click();
  const fill = async (events) => {
    await page.getByLabel("Name", { exact: true }).fill("Shared items");
    await page.getByLabel("Payload URL").fill(asked.hook);
    await page.getByLabel("Secret (Optional)").fill("shared-value");
    await page.getByLabel("Which events would you like").selectOption("manualChanges");
    await page.getByLabel("Send me changes for these comma separated events").fill(events);
    await page.getByRole("button", { name: "Create Webhook" }).click();
  };
  await fill("/items/shar");
  said.refused = await page.getByRole("main").innerText();
  await page.goBack();
  await fill("/items/share");
  await page.getByRole("link", { name: "Webhook: Shared items" }).click();
  said.created = await page.getByRole("main").innerText();
  if (asked.screenshot) await page.screenshot({ path: asked.screenshot, fullPage: true });
  await page.getByRole("link", { name: "Update" }).click();
  await page.getByLabel("Which events would you like").selectOption("allChanges");
  await page.getByRole("button", { name: "Update Webhook" }).click();
  said.updated = await page.getByRole("main").innerText();
  await page.getByRole("link", { name: "Deactivate" }).click();
  await page.getByRole("button", { name: "Deactivate" }).click();
  said.deactivated = await page.getByRole("main").innerText();
  await page.getByRole("link", { name: "Notification Status" }).click();
  said.log = await page.getByRole("main").innerText();
  await page.goBack();
  await page.getByRole("link", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Delete" }).click();
  said.deleted = await page.getByRole("main").innerText();
  if (asked.form_screenshot) {
    await page.getByRole("link", { name: "Create Webhook" }).click();
    await page.screenshot({ path: asked.form_screenshot, fullPage: true });
  }
  await page.getByRole("link", { name: "Logout" }).click();
  said.signed_out = await page.title();
} catch (error) {
  said.failed = String(error);
} finally {
  await browser.close();
}
console.log(JSON.stringify(said));
