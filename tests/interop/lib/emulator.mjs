// An emulated provider of a vendor: the broker's own binary, in a process of its own.
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { freePort, pki, required, until } from "./net.mjs";

/** Starts one that knows the client and the people; `issuer` is as its metadata says it. */
export async function startEmulator(vendor, folder, { client, people }) {
  const port = await freePort();
  const origin = `https://localhost:${port}`;
  const certs = join(folder, `${vendor}-certs`);
  mkdirSync(certs);
  copyFileSync(`${pki}/leaf.pem`, join(certs, "default.crt"));
  copyFileSync(`${pki}/leaf.key`, join(certs, "default.key"));
  const users = join(folder, `${vendor}.toml`);
  const list = (values) => JSON.stringify(values);
  const tables = people.map(
    ({ username, password, name, email }) => `
[[users]]
username = "${username}"
password = "${password}"
name = "${name}"
email = "${email}"
email_verified = true
`,
  );
  writeFileSync(
    users,
    `[[clients]]
client_id = "${client.id}"
client_secret = "${client.secret}"
redirect_uris = ${list(client.redirectUris)}
${tables.join("")}`,
  );
  const args = ["emulate", vendor, "--listen", `127.0.0.1:${port}`, "--users", users, "--certs", certs];
  const child = spawn(required("INTEROP_BROKER"), args, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await until(`the start of the emulated ${vendor}`, async () => (await fetch(`${origin}/`)).status > 0);
  return {
    origin,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

/** Signs in at an emulated provider. */
export async function signInAtEmulator(page, email, password) {
  await page.fill("#emulator-username", email);
  await page.fill("#emulator-password", password);
  await page.click("#emulator-sign-in");
}
