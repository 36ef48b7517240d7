// pg-boss: one batch per fetch, the next at once while batches are full; LISTEN/NOTIFY wakes it.
import { installed, parameters, perform, plan, started } from "./harness.mjs";

const { PgBoss } = installed("pg-boss");

async function boss(options) {
  const made = new PgBoss({ connectionString: plan.url, max: 16, supervise: false, schedule: false, ...options });
  made.on("error", (error) => console.error(error));
  await made.start();
  return made;
}

await perform({
  prepare: async () => (await boss()).createQueue("noop", { notify: true }),
  client: async () => {
    const made = await boss();
    return {
      one: (index) => made.send("noop", parameters(index)),
      many: (indexes) => made.insert("noop", indexes.map((index) => ({ data: parameters(index) }))),
    };
  },
  work: async () => {
    const made = await boss({ supervise: true, useListenNotify: true });
    await made.work("noop", plan.settings, async (jobs) => {
      for (const job of jobs) started(job.data.index);
    });
  },
});
