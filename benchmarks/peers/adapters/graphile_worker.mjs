// Graphile Worker: with its default settings, or with a local queue and completions written in batches.
import { installed, parameters, perform, plan, started } from "./harness.mjs";

const { Logger, makeWorkerUtils, run } = installed("graphile-worker");
const { Pool } = installed("pg");

const logger = new Logger(() => () => {});
const utilities = () =>
  makeWorkerUtils({ pgPool: new Pool({ connectionString: plan.url, max: 16 }), logger });

await perform({
  prepare: async () => (await utilities()).migrate(),
  client: async () => {
    const utils = await utilities();
    return {
      one: (index) => utils.addJob("noop", parameters(index)),
      many: (indexes) =>
        utils.addJobs(indexes.map((index) => ({ identifier: "noop", payload: parameters(index) }))),
    };
  },
  work: () =>
    run({
      preset: { worker: { connectionString: plan.url, logger, ...plan.settings } },
      taskList: { noop: async (payload) => started(payload.index) },
    }),
});
