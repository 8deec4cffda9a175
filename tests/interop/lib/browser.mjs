// Debian's Chromium, which reaches nothing but loopback.
import { chromium } from "playwright-core";

import { required, spki } from "./net.mjs";

const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  `--ignore-certificate-errors-spki-list=${spki}`,
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
];

/** A browser with a fresh profile. */
export function openBrowser() {
  return chromium.launch({ executablePath: required("INTEROP_CHROMIUM"), args: flags, timeout: 60_000 });
}

/** A person's own window; `violations` collects what the page's own security policy refused. */
export async function openWindow(browser, options = {}) {
  const context = await browser.newContext({ locale: "en-GB", viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(15_000);
  const violations = [];
  const watch = (page) =>
    page.on("console", (message) => {
      if (/Content.Security.Policy|Refused to/i.test(message.text())) violations.push(message.text());
    });
  context.on("page", watch);
  const page = await context.newPage();
  return { context, page, violations, close: () => context.close() };
}

/** Enters a name in "Use custom domain" and goes on. */
export async function useDomain(page, name) {
  await page.click("#use-custom-domain");
  await page.fill("#domain", name);
  await page.click("#continue");
}

/** Signs in at Acme's provider. */
export async function signInAtProvider(page, user = "bob") {
  await page.fill("#idp-user", user);
  await page.click("#idp-sign-in");
}

/** Signs in with a password at the broker. */
export async function signInLocally(page, username, password) {
  await page.fill("#username", username);
  await page.fill("#password", password);
  await page.click("#sign-in");
}
