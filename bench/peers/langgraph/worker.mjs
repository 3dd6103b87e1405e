// The worker of LangGraph for JavaScript: the twin of the workers in Go, with the same
// flags, the same workloads and the same rows (see drive and report). A step is a
// superstep; with durability "sync" its checkpoint is saved before the next one starts.
import fs from "node:fs";
import http from "node:http";
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { Annotation, Command, END, interrupt, Send, START, StateGraph } from "@langchain/langgraph";
import { PostgresSaver } from "@langchain/langgraph-checkpoint-postgres";
import { SqliteSaver } from "@langchain/langgraph-checkpoint-sqlite";

const STEPS = 20, ROUNDS = 5, TOOLS = 2, RESUMED = 100, CROWD = 50;
const TOOL_MS = 5, AGENT_MS = (ROUNDS + 1) * 20 + ROUNDS * TOOL_MS;
const STARTERS = 16; // of parked runs: more only queue up in one thread

const text = (d) => ({ type: "string", default: d });
const { values: flags } = parseArgs({
  args: process.argv.slice(2).map((a) => a.replace(/^-(?=[a-z])/, "--")),
  options: {
    workload: text("w1"), runs: text("1"), warm: text("2s"), window: text("8s"), settle: text("4s"), limit: text("4m"),
    store: text(""), model: text(""), servers: text(""), disk: text(""), prefix: text("r"), begun: text("0"),
    starters: text("64"), listen: text(""), // of the workers in Go
  },
});
const runs = +flags.runs, workload = flags.workload;
const begun = +flags.begun / 1000 || Date.now();

// millis reads a duration as Go writes it, such as 1m30s or 500ms.
function millis(s) {
  const unit = { h: 3600e3, m: 60e3, s: 1e3, ms: 1 };
  return [...s.matchAll(/([\d.]+)(ms|h|m|s)/g)].reduce((sum, [, n, u]) => sum + n * unit[u], 0);
}

// --- what things cost

const stat = (pid) => {
  const s = fs.readFileSync(`/proc/${pid}/stat`, "utf8");
  return s.slice(s.lastIndexOf(")") + 2).split(" ");
};
const attempt = (fn, otherwise) => { try { return fn(); } catch { return otherwise; } }; // processes and files end meanwhile

function servers() {
  const below = {};
  for (const pid of fs.readdirSync("/proc").filter((e) => /^\d+$/.test(e))) {
    attempt(() => (below[stat(pid)[1]] ??= []).push(pid));
  }
  const tree = flags.servers.split(",").filter(Boolean);
  for (let i = 0; i < tree.length; i++) tree.push(...(below[tree[i]] ?? []));
  return tree;
}

const cpu = (pid) => attempt(() => { const f = stat(pid); return (+f[11] + +f[12]) * 10; }, 0); // milliseconds
const pss = (pid) => attempt(() => +/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))[1], 0);
const size = (dir) => attempt(() => fs.readdirSync(dir, { withFileTypes: true }).reduce((n, e) =>
  n + (e.isDirectory() ? size(`${dir}/${e.name}`) : attempt(() => fs.statSync(`${dir}/${e.name}`).size / 1024, 0)), 0), 0);
const sum = (list, fn) => list.reduce((n, x) => n + fn(x), 0);

const cost = () => ({ cpu: sum([process.pid, ...servers()], cpu), disk: flags.disk ? size(flags.disk) : 0 });
function memory() {
  const server = sum(servers(), pss);
  return { all: pss(process.pid) + server, server };
}
async function collected() {
  globalThis.gc?.();
  await sleep(300);
  return memory();
}

const percentile = (sorted, p) => sorted[Math.floor(p * (sorted.length - 1))];
function latency(times) {
  if (times.length === 0) return {};
  times.sort((a, b) => a - b);
  return { p50_ms: percentile(times, 0.5), p99_ms: percentile(times, 0.99) };
}
function emit(figures) {
  const load = +fs.readFileSync("/proc/loadavg", "utf8").split(" ")[0];
  fs.writeSync(1, JSON.stringify({ time: new Date().toISOString(), engine: "", workload, runs, rep: 0, load, figures }) + "\n");
}

// --- the bodies of the steps

const pad = (prefix, size) => prefix + "x".repeat(Math.max(0, size - prefix.length));
const output = (id, i) => pad(`${id}-${i}-`, 1000);
const agent = new http.Agent({ keepAlive: true, maxSockets: 4000 });
let measuring = false, steps = 0, parked = 0, resumed = 0;
const gaps = [], last = new Map(), watched = new Map();

function callModel(messages) {
  const body = JSON.stringify({ model: "fake", messages });
  const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return new Promise((resolve, reject) => {
    const req = http.request(flags.model + "/v1/chat/completions", { method: "POST", agent, headers }, (resp) => {
      let data = "";
      resp.on("data", (part) => (data += part));
      resp.on("end", () => resolve(JSON.parse(data).choices[0].message));
    });
    req.on("error", reject);
    req.end(body);
  });
}

function noteStep(id, i) {
  if (workload === "w4") emit({ first_at_ms: performance.timeOrigin + performance.now() });
  const now = performance.now();
  if (measuring) {
    steps++;
    if (i > 0 && last.has(id)) gaps.push(now - last.get(id));
  }
  if (i === STEPS - 1) last.delete(id);
  else last.set(id, now);
}

// --- the programs

let saver;
if (flags.store.startsWith("postgres:")) {
  saver = PostgresSaver.fromConnString(flags.store);
  await saver.setup();
} else {
  saver = SqliteSaver.fromConnString(flags.store);
  saver.db.pragma("journal_mode=WAL");
  saver.db.pragma("synchronous=FULL");
}
const compile = (graph) => graph.compile({ checkpointer: saver });

// row keeps the last result only, as the others' steps hand nothing on.
const row = compile(
  new StateGraph(Annotation.Root({ i: Annotation(), id: Annotation(), n: Annotation(), out: Annotation() }))
    .addNode("step", (s) => { noteStep(s.id, s.i); return { i: s.i + 1, out: output(s.id, s.i) }; })
    .addEdge(START, "step")
    .addConditionalEdges("step", (s) => (s.i >= s.n ? END : "step")),
);

const loop = compile(
  new StateGraph(Annotation.Root({
    id: Annotation(),
    round: Annotation({ reducer: (a, b) => b ?? a, default: () => 0 }),
    said: Annotation({ reducer: (a, b) => a.concat(b), default: () => [] }),
  }))
    .addNode("model", async (s) => ({ said: [await callModel(s.said)], round: s.round + 1 }))
    .addNode("tool", async (s) => {
      await sleep(TOOL_MS);
      return { said: [{ role: "tool", content: pad(`${s.id}-${s.k}-`, 768) }] };
    })
    .addEdge(START, "model")
    .addConditionalEdges("model", (s) => (s.round > ROUNDS ? END
      : Array.from({ length: TOOLS }, (_, k) => new Send("tool", { id: s.id, k: (s.round - 1) * TOOLS + k }))))
    .addEdge("tool", "model"),
);

const gate = compile(
  new StateGraph(Annotation.Root({ id: Annotation(), out: Annotation() }))
    .addNode("before", (s) => { parked++; return { out: output(s.id, 0) }; })
    .addNode("after", (s) => {
      interrupt("approve?");
      resumed++;
      watched.get(s.id)?.();
      watched.delete(s.id);
      return { out: output(s.id, 1) };
    })
    .addEdge(START, "before").addEdge("before", "after").addEdge("after", END),
);

const config = (id) => ({ configurable: { thread_id: id }, recursionLimit: 100, durability: "sync" });
const id = (k) => `${flags.prefix}-${k}`;
const seed = (id) => [{ role: "system", content: pad("", 500) }, { role: "user", content: "run " + id }];
const run = (id) => workload === "w2" ? loop.invoke({ id, said: seed(id) }, config(id))
  : row.invoke({ id, i: 0, n: workload === "w4" ? 1 : STEPS }, config(id));
const signal = (id) => gate.invoke(new Command({ resume: "ok" }), config(id));
const watch = (id) => new Promise((resolve) => watched.set(id, resolve));

// --- the workloads

async function closedLoop() {
  let next = 0, over = 0, stop = false, errors = 0;
  const ended = [];
  for (let i = 0; i < runs; i++) {
    (async () => {
      if (workload === "w2" && runs > CROWD) await sleep((AGENT_MS * i) / runs);
      while (!stop) {
        const t = performance.now();
        try {
          await run(id(++next));
          over++;
          if (measuring) ended.push(performance.now() - t);
        } catch (e) {
          if (errors++ < 4) console.error(e);
          await sleep(50);
        }
        await new Promise(setImmediate); // let the timers run
      }
    })();
  }
  for (const t = performance.now(); over === 0 && performance.now() - t < millis(flags.limit);) await sleep(20);
  if (over === 0) throw new Error(`no run has ended in ${flags.limit}`);
  await sleep(millis(flags.warm));
  const before = cost(), t = performance.now();
  measuring = true;
  await sleep(millis(flags.window));
  measuring = false;
  const seconds = (performance.now() - t) / 1000, after = cost(), rss = memory();
  stop = true;
  const [count, times] = workload === "w1" ? [steps, gaps] : [ended.length, ended];
  const figures = {
    seconds, errors, count, per_s: count / seconds, rss_mb: rss.all / 1024, rss_server_mb: rss.server / 1024,
    cpu_ms: count && (after.cpu - before.cpu) / count, disk_kb: count && (after.disk - before.disk) / count, ...latency(times),
  };
  if (workload === "w2" && count) figures.overhead_ms = figures.p50_ms - AGENT_MS;
  emit(figures);
  process.exit(0);
}

// spread calls fn for the runs from number k on, a few at a time, until the limit.
async function spread(k, fn) {
  const deadline = performance.now() + millis(flags.limit);
  let errors = 0;
  await Promise.all(Array.from({ length: STARTERS }, async () => {
    while (k < runs && performance.now() < deadline) {
      try { await fn(id(k++)); } catch (e) { if (errors++ < 4) console.error(e); }
    }
  }));
  return errors;
}

async function park() {
  const rss0 = await collected(), before = cost(), t = performance.now();
  const errors = await spread(0, (id) => gate.invoke({ id }, config(id)));
  const seconds = (performance.now() - t) / 1000, after = cost(), n = parked;
  await sleep(millis(flags.settle));
  const raw = memory(), rss = await collected(), settled = cost();
  await sleep(3000);
  const idle = cost(), times = [];
  for (let k = 0; k < Math.min(RESUMED, runs); k++) {
    const t = performance.now(), reached = watch(id(k)), ended = signal(id(k));
    await reached;
    times.push(performance.now() - t);
    await ended;
  }
  emit({
    seconds, errors, count: n, per_s: n / seconds, cpu_ms: (after.cpu - before.cpu) / n, disk_kb: (settled.disk - before.disk) / n,
    rss_mb: rss.all / 1024, rss_server_mb: rss.server / 1024, rss_kb: (rss.all - rss0.all) / n, rss_raw_kb: (raw.all - rss0.all) / n,
    idle_cpu_pct: (100 * (idle.cpu - settled.cpu)) / 3000, ...latency(times),
  });
  setInterval(() => {}, 1000); // stay until we are killed
}

async function recover() {
  if (runs <= RESUMED) throw new Error(`${runs} parked runs leave none to recover`);
  const reached = watch(id(RESUMED)), ended = signal(id(RESUMED));
  await reached;
  const first_s = (Date.now() - begun) / 1000, t = performance.now();
  await ended;
  const errors = await spread(RESUMED + 1, signal);
  const drain_s = (performance.now() - t) / 1000, rss = memory();
  emit({ first_s, drain_s, count: resumed, per_s: (resumed - 1) / drain_s, errors, rss_mb: rss.all / 1024, rss_server_mb: rss.server / 1024 });
  process.exit(0);
}

switch (workload) {
  case "w1": case "w2": await closedLoop(); break;
  case "park": await park(); break;
  case "recover": await recover(); break;
  case "w4": await run(id(0)); process.exit(0); break;
  default: throw new Error(`there is no workload ${workload}`);
}
