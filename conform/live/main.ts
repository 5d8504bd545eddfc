// Compares the model with the kernel this runs on, by random direct I/O.
// npm run conform:live -- --help
import { main } from "./cli.js";

process.exitCode = await main(process.argv.slice(2));
