// The broker under test: the real binary, its configuration, and what it is told by `apply`.
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFileSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { freePort, pki, required, until } from "./net.mjs";

const run = promisify(execFile);
const binary = required("INTEROP_BROKER");

/** The database URLs of one world: a file, or a fresh database of the server that the tests are given. */
async function makeDatabase(kind, folder) {
  if (kind === "sqlite") return { url: `sqlite://${folder}/broker.db`, drop: async () => {} };
  const server = required("COUNTERSIGN_TEST_POSTGRES");
  const name = `interop_${randomBytes(6).toString("hex")}`;
  const sql = (text) => run("psql", [server, "-qX", "-v", "ON_ERROR_STOP=1", "-c", text], { timeout: 20_000 });
  await sql(`CREATE DATABASE ${name}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => sql(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`) };
}

export class Broker {
  /** A configured broker that has not started; `more` are further sections of its configuration. */
  static async prepare(kind, more = "") {
    const broker = new Broker();
    broker.folder = mkdtempSync(join(tmpdir(), "countersign-interop-"));
    broker.port = await freePort();
    broker.issuer = `https://localhost:${broker.port}`;
    broker.database = await makeDatabase(kind, broker.folder);
    const certs = join(broker.folder, "certs");
    mkdirSync(certs);
    copyFileSync(`${pki}/leaf.pem`, join(certs, "default.crt"));
    copyFileSync(`${pki}/leaf.key`, join(certs, "default.key"));
    broker.config = join(broker.folder, "countersign.toml");
    broker.logFile = join(broker.folder, "log");
    writeFileSync(
      broker.config,
      `[server]
public_url = "${broker.issuer}"
listen = "127.0.0.1:${broker.port}"
management_listen = "127.0.0.1:${await freePort()}"
drain_notice = "0s"
drain_timeout = "2s"

[tls]
certs_dir = "${certs}"

[database]
url = "${broker.database.url}"

[secrets]
master_key_file = "${broker.folder}/master.key"

[outbound]
allow = ["127.0.0.0/8", "::1/128"]
extra_ca_file = "${pki}/ca.pem"
${more}`,
    );
    return broker;
  }

  /** `countersign COMMAND … --config FILE`; gives what it printed. */
  async command(...args) {
    try {
      const { stdout } = await run(binary, [...args, "--config", this.config], { timeout: 60_000 });
      return stdout;
    } catch (error) {
      throw new Error(`countersign ${args.join(" ")}: ${error.stderr || error.message}`);
    }
  }

  /** Declares organizations as the operator would. */
  apply(document) {
    const file = join(this.folder, `apply-${randomBytes(4).toString("hex")}.toml`);
    writeFileSync(file, document);
    return this.command("apply", file);
  }

  async start() {
    const log = openSync(this.logFile, "a");
    this.child = spawn(binary, ["serve", "--config", this.config], { stdio: ["ignore", log, log] });
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
    await until("the broker's start", async () => {
      if (this.child.exitCode !== null) throw new Error(`it ended:\n${this.log()}`);
      return (await fetch(`${this.issuer}/.well-known/openid-configuration`)).ok;
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.log()}`);
    });
  }

  log() {
    return readFileSync(this.logFile, "utf8");
  }

  async stop() {
    if (this.child) {
      this.child.kill("SIGTERM");
      const deadline = setTimeout(() => this.child.kill("SIGKILL"), 10_000);
      await this.ended;
      clearTimeout(deadline);
    }
    await this.database.drop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
