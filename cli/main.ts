#!/usr/bin/env node
// npx user-page COMMAND: prints what one command answers.
import { run_command } from "./commands.js";

const { out, err, exit } = await run_command(process.argv.slice(2));
if (out !== "") process.stdout.write(`${out}\n`);
if (err !== "") process.stderr.write(`${err}\n`);
process.exitCode = exit;
