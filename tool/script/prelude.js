// What a script in JavaScript runs in. It is called with the code, the input as JSON and four
// numbers as a seed, and leaves a function that says what became of the script.
(function (code, input, a, b, c, d) {
  "use strict";
  const { stringify, parse } = JSON;
  const { apply } = Reflect;
  const { defineProperty } = Object;
  const text = String, Failure = Error, Later = Promise, { then } = Promise.prototype, run = eval;
  let printed = "", value = "", error = "", waits = true;

  const show = (v) => {
    if (typeof v === "string") return v;
    try {
      const json = stringify(v, (_, x) => (typeof x === "bigint" ? text(x) : x));
      return json === undefined ? text(v) : json;
    } catch {
      try {
        return text(v);
      } catch {
        return "[a value without a text]";
      }
    }
  };
  const log = (...values) => {
    let line = "";
    for (let i = 0; i < values.length; i++) line += (i > 0 ? " " : "") + show(values[i]);
    printed += line + "\n";
  };
  const done = (v) => {
    waits = false;
    value = v === undefined || v === null ? "" : show(v);
  };
  const failed = (e) => {
    waits = false;
    error = e instanceof Failure ? text(e.name) + ": " + text(e.message) + "\n" + text(e.stack) : "thrown: " + show(e);
  };
  const random = () => { // sfc32
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  defineProperty(globalThis, "__report", {
    value: () => stringify({ printed, value, error: waits && error === "" ? "the promise waits for something that never comes: there are no timers and no I/O" : error }),
  });
  globalThis.console = { log, info: log, warn: log, error: log, debug: log };
  globalThis.print = log;
  Math.random = random;
  try {
    globalThis.input = parse(input);
    const v = run(code);
    if (v instanceof Later) apply(then, v, [done, failed]);
    else done(v);
  } catch (e) {
    failed(e);
  }
})
