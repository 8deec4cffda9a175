// A mail server that the authors of the broker did not write: PyPI aiosmtpd, in a process of its own.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { freePort, pki, required, until } from "./net.mjs";

const credentials = { username: "countersign", password: "mail-password-0123456789" };

export async function startMailServer() {
  const port = await freePort();
  const args = ["mail_server.py", port, `${pki}/leaf.pem`, `${pki}/leaf.key`, credentials.username, credentials.password];
  const child = spawn(required("INTEROP_PYTHON"), args.map(String), { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const [mails, lines] = [[], []];
  createInterface({ input: child.stdout }).on("line", (line) => {
    lines.push(line);
    if (lines.length > 1) mails.push(JSON.parse(line));
  });
  await until("the mail server's start", () => lines.length > 0);
  const config = `
[mail]
transport = "smtp"
from = "Countersign <countersign@id.test>"
smtp_host = "localhost"
smtp_port = ${port}
smtp_tls = "starttls"
smtp_username = "${credentials.username}"
smtp_password = "${credentials.password}"
`;
  return {
    config,
    mails,
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

/** A folder into which the broker writes its mails. */
export function makeMailFolder() {
  const folder = mkdtempSync(join(tmpdir(), "countersign-mails-"));
  /** What was mailed so far. */
  const inbox = () => {
    const files = readdirSync(folder).filter((file) => file.endsWith(".eml"));
    return files.map((file) => readFileSync(join(folder, file), "utf8").replaceAll("=\r\n", ""));
  };
  /** The link to set a password that was mailed to an address. */
  const resetLink = (address) =>
    until(`a link for ${address}`, () => {
      const links = inbox().filter((mail) => mail.includes(address)).map((mail) => mail.match(/https:\S+\/reset\/[\w-]+/));
      return links.find((link) => link)?.[0];
    });
  return {
    inbox,
    config: `\n[mail]\ntransport = "file"\ndir = "${folder}"\n`,
    resetLink,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
