// Plays an admin who is signed in and opens pages that a receiver answered. Reports what their scripts can do in the admin's name.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { chromium } = createRequire(`${process.env.INTEROP}/`)("playwright-core");

const asked = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: asked.browser, args: ["--no-sandbox", "--disable-gpu"] });
const said = { pages: {} };
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  const directory = `${asked.url}/portal/sharing/rest/portals/self`;
  await page.goto(directory);
  await page.getByLabel("Username").fill(asked.name);
  await page.getByLabel("Password (the token)").fill(asked.token);
  await page.getByRole("button", { name: "Login" }).click();
  said.signed_in = await page.getByRole("heading", { level: 1 }).textContent();
  for (const kind of asked.kinds) {
    const script = page.waitForEvent("console", (message) => message.text().startsWith("said:"));
    await page.goto(`${asked.page}/${kind}`);
    said.pages[kind] = JSON.parse((await script).text().slice("said:".length));
  }
  // A form that sends itself: the browser goes where it leads.
  const [answer] = await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/createWebhook") && response.request().method() === "POST"),
    page.goto(`${asked.page}/form`).catch(() => {}),
  ]);
  said.form = answer.status();
  const cookie = (await answer.request().allHeaders()).cookie ?? "";
  said.form_carried = cookie.includes("agstoken");
  // Nothing of that signed anybody out, or in as somebody else.
  await page.goto(directory);
  said.still = await page.getByRole("heading", { level: 1 }).textContent();
} catch (error) {
  said.failed = String(error);
} finally {
  await browser.close();
}
console.log(JSON.stringify(said));
