// Verifies evidence bundles of 协办 Xieban without any server: Node ≥ 20 and browsers, nothing but WebCrypto.
//
//   node xieban_verify.mjs bundle.zip [--roots FILE] [--root-fingerprint HEX]… [--threshold N]
//   import { verify } from "./xieban_verify.mjs";  const report = await verify(bytes, { roots: [hex, …], threshold: 3 });
//
// Written from docs/bundle-format.md and from nothing else, so that it and the Python verifier can catch each other's mistakes.

const CHECKS = {
  container: "容器", manifest: "目录", roots: "根密钥", trust: "信任清单", checkpoint: "检查点和联署", inclusion: "入册证明",
  export: "导出登记", canonical: "规范编码", seals: "签名", approvals: "签批", fields: "报头和字段", lanes: "流转序列", receipts: "回执",
  notices: "通知和回复", entries: "登记与报文", times: "时间区间", commitments: "案卷承诺", files: "案卷文件",
};
const PARTIES = ["police", "procuratorate", "court"];
/** Kinds that the head of the sending office must approve or decide, and by which article. */
const NEEDED = {
  arrest_request: "公规137", arrest_decision: "刑诉89", arrest_reconsideration: "公规141", custody_extension_request: "公规148",
  prosecution_transfer: "公规289", resubmission_after_supplement: "公规296", nonprosecution_decision: "检规365",
};
const ROLES = { approver: "审批人", handler: "经办人" };
const SCOPE = "本件只涉及办案程序、期限和材料是否齐全，不涉及案件事实、证据和处理结果，不影响办案机关依法独立行使职权。";
const SKEW = 60;
const KIB = 1024;

// --- bytes

const utf8 = new TextEncoder();
const encode = (text) => utf8.encode(text);
const decode = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

function join(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Base64 in its one spelling, or null. */
function unbase64(text) {
  if (!/^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text) || text.includes("\n")) return null;
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return base64(bytes) === text ? bytes : null;
}

function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest("SHA-256", join(...parts)));

const keyCache = new Map();
async function ed25519(publicHex, signature, message) {
  if (signature.length !== 64) return false;
  let key = keyCache.get(publicHex);
  if (key === undefined) {
    key = await crypto.subtle.importKey("raw", unhex(publicHex), { name: "Ed25519" }, false, ["verify"]);
    keyCache.set(publicHex, key);
  }
  return crypto.subtle.verify({ name: "Ed25519" }, key, signature, message);
}

// --- SM2 over SM3 (GB/T 32918.2, GB/T 32905): WebCrypto knows neither. All of it is public, so nothing here keeps a secret.

const SIGNER = encode("1234567812345678");
const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn;
const A = P - 3n;
const B = 0x28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93n;
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;
const GX = 0x32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7n;
const GY = 0xbc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0n;

const mod = (value, by = P) => ((value % by) + by) % by;
const number = (bytes) => BigInt(`0x${hex(bytes) || "0"}`);
const bytes32 = (value) => unhex(value.toString(16).padStart(64, "0"));
const turn = (word, by) => (word << by % 32) | (word >>> (32 - (by % 32)) % 32);

function sm3(message) {
  const padded = new Uint8Array(((message.length + 8) >> 6 << 6) + 64);
  padded.set(message);
  padded[message.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(message.length) * 8n);
  const state = [0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e];
  const mixed = (word) => word ^ turn(word, 15) ^ turn(word, 23);
  for (let at = 0; at < padded.length; at += 64) {
    const w = Array.from({ length: 16 }, (_, i) => view.getUint32(at + 4 * i));
    for (let i = 16; i < 68; i++) w.push(mixed(w[i - 16] ^ w[i - 9] ^ turn(w[i - 3], 15)) ^ turn(w[i - 13], 7) ^ w[i - 6]);
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const first = turn((turn(a, 12) + e + turn(i < 16 ? 0x79cc4519 : 0x7a879d8a, i)) | 0, 7);
      const one = ((i < 16 ? a ^ b ^ c : (a & b) | (a & c) | (b & c)) + d + (first ^ turn(a, 12)) + (w[i] ^ w[i + 4])) | 0;
      const two = ((i < 16 ? e ^ f ^ g : (e & f) | (~e & g)) + h + first + w[i]) | 0;
      [a, b, c, d, e, f, g, h] = [one, a, turn(b, 9), c, two ^ turn(two, 9) ^ turn(two, 17), e, turn(f, 19), g];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (state[i] = (state[i] ^ word) >>> 0));
  }
  return join(...state.map((word) => unhex(word.toString(16).padStart(8, "0"))));
}

/** Points as x/z², y/z³; z = 0 is infinity. */
function doubled([x, y, z]) {
  const [yy, zz] = [mod(y * y), mod(z * z)];
  const s = mod(4n * x * yy);
  const m = mod(3n * (x - zz) * (x + zz)); // a = -3
  const u = mod(m * m - 2n * s);
  return [u, mod(m * (s - u) - 8n * yy * yy), mod(2n * y * z)];
}

function added(one, other) {
  if (one[2] === 0n) return other;
  if (other[2] === 0n) return one;
  const [[x, y, z], [p, q, r]] = [one, other];
  const [zz, rr] = [mod(z * z), mod(r * r)];
  const [u, v] = [mod(x * rr), mod(p * zz)];
  const [s, t] = [mod(y * rr * r), mod(q * zz * z)];
  if (u === v) return s === t ? doubled(one) : [1n, 1n, 0n];
  const [h, k] = [mod(v - u), mod(t - s)];
  const hh = mod(h * h);
  const w = mod(k * k - hh * h - 2n * u * hh);
  return [w, mod(k * (u * hh - w) - s * hh * h), mod(h * z * r)];
}

function times(point, factor) {
  let total = [1n, 1n, 0n];
  for (const bit of factor.toString(2)) {
    total = doubled(total);
    if (bit === "1") total = added(total, point);
  }
  return total;
}

/** The two numbers of a DER signature in its one spelling, or null. */
function twoNumbers(der) {
  const found = [];
  if (der[0] !== 0x30 || der[1] !== der.length - 2 || der[1] > 127) return null;
  let at = 2;
  while (at < der.length) {
    const [tag, length] = [der[at], der[at + 1]];
    const value = der.subarray(at + 2, at + 2 + length);
    if (tag !== 2 || !length || length > 127 || value.length !== length || value[0] > 127) return null;
    if (value[0] === 0 && (length === 1 || value[1] < 128)) return null; // neither has zero as a number a place here
    found.push(number(value));
    at += 2 + length;
  }
  return found.length === 2 ? found : null;
}

function sm2(publicHex, signature, message) {
  const key = unhex(publicHex);
  const [x, y] = [number(key.subarray(0, 32)), number(key.subarray(32))];
  const [r, s] = twoNumbers(signature) ?? [0n, 0n];
  const t = mod(r + s, N);
  const isKey = key.length === 64 && x < P && y < P && mod(y * y - x * x * x - A * x - B) === 0n;
  if (!isKey || !(r > 0n && r < N && s > 0n && s < N) || t === 0n) return false;
  const named = sm3(join(Uint8Array.of(0, SIGNER.length * 8), SIGNER, ...[A, B, GX, GY, x, y].map(bytes32)));
  const [u, , z] = added(times([GX, GY, 1n], s), times([x, y, 1n], t));
  // r - e is the sum's x or, because x is reduced modulo N and not P, x less N.
  return z !== 0n && [0n, N].some((more) => {
    const wanted = mod(r - number(sm3(join(named, message))), N) + more;
    return wanted < P && mod(wanted * z * z - u) === 0n;
  });
}

// --- container

const NAMES = [
  ["manifest", /^bundle\.json$/, 4096 * KIB],
  ["checkpoint", /^checkpoint$/, 128 * KIB],
  ["file", /^dossiers\/([0-9a-f]{64})\/files\/([0-9]{3})$/, 4096 * KIB],
  ["dossier", /^dossiers\/([0-9a-f]{64})\/manifest\.json$/, 1024 * KIB],
  ["salt", /^dossiers\/([0-9a-f]{64})\/salt$/, 32],
  ["entry", /^entries\/([0-9]{12})\.json$/, 65535],
  ["proof", /^entries\/([0-9]{12})\.tlog-proof$/, 256 * KIB],
  ["mark", /^marks\/([0-9]{12}-(?:first|last))$/, 256 * KIB],
  ["statement", /^statements\/([0-9a-f]{64})\.json$/, 32 * KIB],
  ["trust", /^trust\.json$/, 32 * 1024 * KIB],
];
const MAX_BUNDLE = 512 * 1024 * KIB;
const MAX_MEMBERS = 60000;

class Unreadable extends Error {}

function nameOf(name) {
  for (const [kind, pattern, limit] of NAMES) {
    const match = pattern.exec(name);
    if (match) return { kind, parts: match.slice(1), limit };
  }
  return null;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ CRC_TABLE[(value ^ byte) & 0xff];
  return (value ^ 0xffffffff) >>> 0;
}

/** Little-endian numbers of 2 or 4 bytes: [size, value] pairs. */
function numbers(...pairs) {
  const bytes = [];
  for (const [size, value] of pairs) for (let i = 0; i < size; i++) bytes.push(Math.floor(value / 2 ** (8 * i)) & 0xff);
  return Uint8Array.from(bytes);
}

function pack(members) {
  const body = [];
  const directory = [];
  let offset = 0;
  const names = [...members.keys()].sort();
  for (const name of names) {
    const data = members.get(name);
    const sizes = [[4, crc32(data)], [4, data.length], [4, data.length], [2, name.length], [2, 0]];
    const head = numbers([4, 0x04034b50], [2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], ...sizes);
    body.push(head, encode(name), data);
    const more = [[2, 0], [2, 0], [2, 0], [4, 0], [4, offset]];
    directory.push(numbers([4, 0x02014b50], [2, 20], [2, 20], [2, 0], [2, 0], [2, 0], [2, 0x21], ...sizes, ...more), encode(name));
    offset += head.length + name.length + data.length;
  }
  const listed = join(...directory);
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, names.length], [2, names.length], [4, listed.length], [4, offset], [2, 0]);
  return join(...body, listed, end);
}

function unpack(data) {
  if (data.length > MAX_BUNDLE) throw new Unreadable("过大");
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const members = new Map();
  const defects = [];
  let at = 0;
  let before = "";
  while (at + 4 <= data.length && view.getUint32(at, true) === 0x04034b50) {
    if (at + 30 > data.length) throw new Unreadable("文件不完整");
    const short = (place) => view.getUint16(at + place, true);
    const long = (place) => view.getUint32(at + place, true);
    const [crc, packed, size, length] = [long(14), long(18), long(22), short(26)];
    if (short(6) || short(8) || short(28) || packed !== size) throw new Unreadable("含有压缩、加密或者附加字段的成员");
    const start = at + 30 + length;
    if (start + size > data.length) throw new Unreadable("文件不完整");
    const name = Array.from(data.subarray(at + 30, start), (byte) => (byte < 0x80 ? String.fromCharCode(byte) : "?")).join("");
    const content = data.subarray(start, start + size);
    at = start + size;
    if (members.size >= MAX_MEMBERS) throw new Unreadable("成员过多");
    const known = nameOf(name);
    if (!known) defects.push([name, "名称不在规定之内"]);
    else if (members.has(name)) defects.push([name, "名称重复"]);
    else if (content.length > known.limit) defects.push([name, "过大"]);
    else {
      if (crc32(content) !== crc) defects.push([name, "校验和不符"]);
      if (name < before) defects.push([name, "没有按名称排列"]);
      members.set(name, content);
      before = name;
    }
  }
  if (members.size === 0) throw new Unreadable("不是证据包");
  if (defects.length === 0 && !same(pack(members), data)) defects.push(["zip", "容器不是规定的形式"]);
  return { members, defects };
}

// --- canonical JSON and schemas

class NotCanonical extends Error {}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value !== null && typeof value === "object") {
    return `{${Object.keys(value).sort().map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  if (typeof value === "number" && (!Number.isSafeInteger(value) || Object.is(value, -0))) throw new NotCanonical();
  return JSON.stringify(value);
}

// eslint-disable-next-line no-control-regex
const FORBIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/u;

/** The value of canonical bytes that are of the schema. Throws NotCanonical. */
function read(bytes, schema) {
  let text;
  let value;
  try {
    text = decode(bytes);
    value = JSON.parse(text);
    if (canonical(value) !== text) throw new NotCanonical();
  } catch {
    throw new NotCanonical("不是规范编码");
  }
  const bare = text.replaceAll("\\\\", "").replaceAll('\\"', "");
  if (bare.includes("\\") || FORBIDDEN.test(text) || text.normalize("NFC") !== text) throw new NotCanonical("不是规范编码");
  if (!schema(value)) throw new NotCanonical("字段不合规定");
  return value;
}

const LATEST = 4102444800000000;
const integer = (least, most = Number.MAX_SAFE_INTEGER) => (v) => Number.isSafeInteger(v) && v >= least && v <= most;
const text = (most, least = 0) => (v) => {
  if (typeof v !== "string") return false;
  const length = [...v].length;
  return length >= least && length <= most;
};
const like = (source) => {
  const pattern = new RegExp(`^(?:${source})$`, "u");
  return (v) => typeof v === "string" && pattern.test(v);
};
const among = (...values) => (v) => values.includes(v);
const boolean = (v) => typeof v === "boolean";
const orNull = (schema) => (v) => v === null || schema(v);
const list = (schema, most, least = 0) => (v) => Array.isArray(v) && v.length >= least && v.length <= most && v.every(schema);
const object = (fields, rare = {}) => (v) => {
  if (v === null || typeof v !== "object" || Array.isArray(v)) return false;
  const names = Object.keys(v);
  const wanted = Object.keys(fields);
  if (!wanted.every((name) => Object.hasOwn(v, name))) return false;
  return names.every((name) => {
    const schema = Object.hasOwn(fields, name) ? fields[name] : Object.hasOwn(rare, name) ? rare[name] : null;
    return schema !== null && schema(v[name]);
  });
};

const n = integer(0);
const t = integer(0, LATEST - 1);
const T = text(64);
const T128 = text(128);
const hex64 = like("[0-9a-f]{64}");
const hex64Maybe = like("([0-9a-f]{64})?");
const id24 = like("[0-9a-f]{24}");
const caseNumber = like("[A-Z0-9]{4,32}");
const cityToken = like("[a-z0-9-]{1,32}");
const person = like("(P[1-9][0-9]{0,2})?");
const documentNumber = like(
  "([\\u4e00-\\u9fff（）()]{0,24}[〔（(\\[](19|20)[0-9]{2}[〕）)\\]][\\u4e00-\\u9fff0-9]{0,16}第?[0-9]{1,8}号)?",
);
const dueDay = like("[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?\\+08:00)?");
const maybeDay = like("(20[0-9]{2}-[01][0-9]-[0-3][0-9])?");
const supervision = like("20[0-9]{2}-[1-9][0-9]{0,6}");
const node = object({ city: T, agency: T });
const party = object({ city: T, agency: T, office: T });
const logView = object({ size: integer(1), root: hex64, sig: like("[A-Za-z0-9+/]{90}[AEIMQUYcgkosw048]=") });
const approval = object({
  role: among("approver", "handler"), keyid: like("[0-9a-f]{16}"), sig: like("[A-Za-z0-9+/]{80,100}={0,2}"),
});
const FACTS = ["delivered", "complete", "accepted", "returned", "answered", "rejected", "withdrawn"];

const SCHEMAS = {
  header: object(
    {
      v: n, id: id24, client_ref_hash: hex64, from: party, to: party, inc: n, case: object({ id: caseNumber, stage: T }), kind: T,
      outcome: T, lane: object({ seq: n, prev: hex64Maybe }), re: list(hex64, 32), secrecy: among("none", "internal"),
      acts: list(object({ what: T, at: t, person, custody: orNull(boolean), derived: boolean }), 64), sent_at: t,
      dossier: object({ commit: hex64, files: n, bytes: n, pages: n }), rules: T,
      clocks: list(
        object({
          effect: among("start", "stop", "extend", "exclude", "restart"), rule: T, event: T, at: t, until: t, by: T,
          kind: among("", "add", "total"), months: n, days: n, hours: n, person, document: documentNumber,
        }),
        16,
      ),
    },
    { dues: list(object({ rule: T, person, due: dueDay }), 16, 1), log: logView, approvals: list(approval, 2, 1) },
  ),
  receipt: object({
    v: n, id: id24, from: node, to: node, inc: n, at: t,
    facts: list(
      object({
        of: hex64, kind: among(...FACTS), at: t, defects: list(object({ code: T, article: T, item: T128 }), 1000), answer: hex64Maybe,
      }),
      32,
      1,
    ),
  }),
  notice: object({
    v: n, id: id24, from: node, to: party, inc: n, at: t, case: caseNumber,
    occasion: among(
      "warning", "overdue", "unmet", "drafted", "discarded", "issued", "reminded", "returned", "escalated", "lifted", "restored", "closed",
    ),
    rung: T,
    basis: object({
      kind: among("statute", "target"), rule: T128, article: T128, start: hex64, person, started_at: t, due: T, safe_due: T, edition: T,
      calendar: T128,
    }),
    demand: orNull(
      object({
        id: supervision, step: n,
        state: among("drafted", "discarded", "issued", "acknowledged", "explained", "returned", "escalated", "closed"),
        level: n, whom: text(24, 1), severity: n, days_over: n, reply_by: maybeDay, by: like("([A-Z0-9]{2,16})?"), reason: T,
        remark: text(500),
      }),
    ),
    scope: T128,
  }),
  reply: object({
    v: n, id: id24, from: party, to: node, inc: n, at: t, of: hex64, supervision, act: among("acknowledge", "explain"),
    by: like("[A-Z0-9]{2,16}"),
    cause: orNull(
      among(
        "entered_late", "awaiting_material", "awaiting_office", "appraisal", "workload", "handover", "system_fault", "misreckoned",
        "neglect", "other",
      ),
    ),
    measures: list(among("done", "expedite", "release", "register", "correct", "reinforce", "report_up"), 1000),
    expected: maybeDay, text: text(500), scope: T128,
  }),
};
const isBase64 = (v) => typeof v === "string" && unbase64(v) !== null;
const ENVELOPE = object({
  payload: isBase64, signatures: list(object({ keyid: like("[0-9a-f]{16}"), sig: isBase64 }), 32), type: text(32),
});
const MANIFEST = object({
  format: among("xieban-bundle"), v: among(1), city: cityToken, case: caseNumber, profile: among("committee", ...PARTIES), at: t,
  sandbox: boolean, trust: hex64, statements: list(hex64, 10000), entries: list(integer(1, 10 ** 12 - 1), 20000),
  marks: list(like("[0-9]{12}-(first|last)"), 10000),
});
const ENTRY = object({
  position: integer(1), kind: like("[A-Z_]{1,32}"), at: t, case: text(32), eid: hex64Maybe, detail: text(256),
  nonce: like("([0-9a-f]{32})?"),
});
const small = integer(0, 2 ** 31 - 1);
const free = (v) => typeof v === "string";
const DOSSIER = object({
  v: among(1), document: object({ title: free, number: free, date: free }),
  persons: list(object({ tag: like("P[1-9][0-9]{0,2}"), name: free, in_custody: boolean, place: free }), 100000),
  evidence: list(
    object({
      kind: among("physical", "documentary", "witness", "victim", "suspect", "expert", "inspection", "electronic"), title: free,
      pages: small,
    }),
    100000,
  ),
  files: list(object({ name: free, media_type: free, sha256: free, bytes: small, pages: small }), 999),
  case_numbers: object({ police: free, procuratorate: free, court: free }), charge: free, remark: free,
});

const algorithm = among("ed25519+sha256", "sm2+sm3");
const publicKey = like("([0-9a-f]{2}){32,64}");
const noteName = like("[a-z0-9./-]{1,128}");
const ending = among("compromised", "lost", "superseded", "left", "mistake");
const valid = { use: T, from_index: n, until_index: orNull(n), revoked: orNull(object({ index: n, reason: ending })) };
const keyed = { ...valid, algorithm, public: publicKey };
const speaker = { ...keyed, agency: among(...PARTIES, "gateway"), office: like("([0-9]{6})?") };
const USES = {
  ca: object({ ...valid, fingerprint: hex64 }),
  log: object({ ...keyed, name: noteName }, { keeps: n }),
  witness: object({ ...keyed, name: noteName, holder: cityToken }),
  seal: object(speaker),
  officer: object({ ...speaker, role: among("handler", "approver"), holder: cityToken }),
};
const TRUST_LIST = object(
  {
    v: among(1), city: cityToken, version: integer(1, 2 ** 31), previous: hex64Maybe, index: n, issued_at: t, expires_at: t,
    threshold: integer(1, 16), roots: list(object({ algorithm, public: publicKey }), 16, 1),
    entries: list((v) => v !== null && typeof v === "object" && Object.hasOwn(USES, v.use) && USES[v.use](v), 4096),
  },
  { barred: list(object({ fingerprint: hex64, reason: ending }), 4096, 1) },
);

// --- report

class Check {
  constructor(name) {
    Object.assign(this, { name, checked: 0, defects: [], open: "", none: "", note: "" });
  }

  get verdict() {
    return this.defects.length ? "fail" : this.open ? "open" : this.none ? "none" : "pass";
  }

  fail(what, reason) {
    this.defects.push({ what, reason });
  }

  demand(holds, what, reason) {
    this.checked += 1;
    if (!holds) this.fail(what, reason);
    return holds;
  }
}

class Report {
  constructor() {
    this.checks = Object.fromEntries(Object.keys(CHECKS).map((name) => [name, new Check(name)]));
    this.unreadable = false;
    this.bundle = {};
    this.rows = [];
  }

  leaveOpen(reason, names) {
    for (const name of names) this.checks[name].open = reason;
  }

  get verdict() {
    if (this.unreadable) return "open";
    const found = Object.values(this.checks).map((check) => check.verdict);
    return found.includes("fail") ? "fail" : found.includes("open") ? "open" : "pass";
  }

  toJSON() {
    return {
      format: "xieban-verification",
      v: 1,
      verdict: this.verdict,
      bundle: this.bundle,
      checks: Object.values(this.checks).map((check) => ({
        check: check.name, name: CHECKS[check.name], verdict: check.verdict, checked: check.checked, reason: check.open || check.none,
        note: check.note, defects: check.defects,
      })),
      statements: this.rows,
    };
  }
}

// --- notes and trees (docs/ledger-format.md)

class Malformed extends Error {}

function decimal(source) {
  if (!/^(0|[1-9][0-9]{0,18})$/.test(source) || BigInt(source) > 2n ** 63n - 1n) throw new Malformed();
  return BigInt(source);
}

function hashOf(source) {
  const bytes = unbase64(source);
  if (bytes === null || bytes.length !== 32) throw new Malformed();
  return bytes;
}

// eslint-disable-next-line no-control-regex
const NOTE_CONTROL = /[\u0000-\u0009\u000b-\u001f]|\p{Surrogate}/u;
const isKeyName = (name) =>
  name !== "" && !name.includes("+") && !NOTE_CONTROL.test(name) && !/[^\S\ufeff]|\u0085/u.test(name);

function parseNote(bytes) {
  if (bytes.length > 128 * KIB) throw new Malformed();
  let whole;
  try {
    whole = decode(bytes);
  } catch {
    throw new Malformed();
  }
  const cut = whole.lastIndexOf("\n\n");
  if (cut < 0) throw new Malformed();
  const body = whole.slice(0, cut);
  const lines = whole.slice(cut + 2);
  if (NOTE_CONTROL.test(body) || !lines.endsWith("\n")) throw new Malformed();
  const rows = lines.slice(0, -1).split("\n");
  if (rows.length > 64) throw new Malformed();
  const seen = new Set();
  const signatures = rows.map((line) => {
    if (!line.startsWith("— ")) throw new Malformed();
    const [name, value] = [line.slice(2).split(" ")[0], line.slice(2).split(" ").slice(1).join(" ")];
    const octets = unbase64(value);
    if (!isKeyName(name) || octets === null || octets.length < 5) throw new Malformed();
    const place = `${name} ${hex(octets.subarray(0, 4))}`;
    if (seen.has(place)) throw new Malformed();
    seen.add(place);
    return { place, name, value: octets.subarray(4) };
  });
  return { text: `${body}\n`, signatures };
}

async function parseCheckpoint(bytes) {
  const note = parseNote(bytes);
  const lines = note.text.split("\n").slice(0, -1);
  if (lines.length < 3 || lines.some((line) => line === "")) throw new Malformed();
  const [origin, size, root, ...extensions] = lines;
  const tree = { note, origin, size: decimal(size), root: hashOf(root), extensions };
  if (tree.size === 0n && !same(tree.root, await sha256())) throw new Malformed();
  return tree;
}

const parent = (left, right) => sha256(Uint8Array.of(1), left, right);

/** RFC 9162 §2.1.3.2. */
async function includes(leaf, index, size, root, path) {
  if (index >= size) return false;
  let [fn, sn, value] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      value = await parent(sibling, value);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else value = await parent(value, sibling);
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && same(value, root);
}

/** RFC 9162 §2.1.4.2; from a tree to itself the proof is empty. */
async function extendsTree(first, firstRoot, second, secondRoot, path) {
  if (first > second) return false;
  if (first === second) return path.length === 0 && same(firstRoot, secondRoot);
  const rest = (first & (first - 1n)) === 0n ? [firstRoot, ...path] : [...path];
  if (rest.length === 0) return false;
  let [fn, sn] = [first - 1n, second - 1n];
  while (fn & 1n) [fn, sn] = [fn >> 1n, sn >> 1n];
  let [fr, sr] = [rest[0], rest[0]];
  for (const sibling of rest.slice(1)) {
    if (sn === 0n) return false;
    if (fn & 1n || fn === sn) {
      fr = await parent(sibling, fr);
      sr = await parent(sibling, sr);
      while (!(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else sr = await parent(sr, sibling);
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return sn === 0n && same(fr, firstRoot) && same(sr, secondRoot);
}

// --- trust list


const covers = (row, index) =>
  BigInt(row.from_index) <= index &&
  (row.until_index === null || index < BigInt(row.until_index)) &&
  (row.revoked === null || index < BigInt(row.revoked.index));

const fingerprint = async (row) => row.fingerprint ?? hex(await sha256(unhex(row.public)));
const keyId = async (row) => (await fingerprint(row)).slice(0, 16);

async function holds(row, signature, message) {
  return (row.algorithm === "sm2+sm3" ? sm2 : ed25519)(row.public, signature, message);
}

function preAuthentication(kind, payload) {
  const type = encode(kind);
  return join(encode(`DSSEv1 ${type.length} `), type, encode(` ${payload.length} `), payload);
}

function openEnvelope(value) {
  const payload = unbase64(value.payload);
  const signed = preAuthentication(value.type, payload);
  const signatures = value.signatures.map((row) => ({ keyid: row.keyid, sig: unbase64(row.sig) }));
  return { type: value.type, payload, signed, signatures };
}

const isRisen = (values) => values.every((value, i) => i === 0 || values[i - 1] < value);

async function readTrust(bytes) {
  const chain = { versions: [], defects: [] };
  let file;
  try {
    file = read(bytes, object({ lists: list(ENVELOPE, 4096, 1) }));
  } catch (error) {
    chain.defects.push(["trust.json", error.message]);
    return chain;
  }
  for (const [i, row] of file.lists.entries()) {
    const reason = await admit(chain, row);
    if (reason) {
      chain.defects.push([`v${i + 1}`, reason]);
      break;
    }
  }
  return chain;
}

async function admit(chain, row) {
  const sealed = openEnvelope(row);
  if (row.type !== "trustlist" || sealed.payload.length > 1024 * KIB) return "不是规范编码";
  let value;
  try {
    value = read(sealed.payload, TRUST_LIST);
  } catch (error) {
    return error.message;
  }
  const before = chain.versions.at(-1);
  const wrong =
    (await unsoundList(value)) ||
    (before ? await unsoundStep(before, value) : value.version === 1 ? "" : "没有从第 1 版开始") ||
    (await unsigned(before?.value, value, sealed));
  if (!wrong) chain.versions.push({ eid: hex(await sha256(sealed.signed)), value });
  return wrong;
}

async function unsoundList(value) {
  const size = { "ed25519+sha256": 64, "sm2+sm3": 128 };
  const rows = [...value.roots, ...value.entries];
  if (rows.some((row) => row.public !== undefined && row.public.length !== size[row.algorithm])) return "公钥长度与算法不符";
  if ((value.version === 1) !== (value.previous === "")) return "只有第 1 版没有前一版";
  if (value.expires_at <= value.issued_at) return "到期时间不晚于签发时间";
  if (value.threshold > value.roots.length) return "要求的签名数多于根密钥数";
  const roots = await Promise.all(value.roots.map(keyId));
  const ids = await Promise.all(value.entries.map(keyId));
  if (!isRisen(roots)) return "根密钥重复或者没有排列";
  if (!isRisen(ids.map((id, i) => `${value.entries[i].use} ${id}`)) || new Set([...ids, ...roots]).size !== ids.length + roots.length) {
    return "密钥重复或者没有排列";
  }
  for (const row of value.entries) {
    if (row.until_index !== null && row.until_index < row.from_index) return "密钥的止期早于起期";
    if (["log", "witness"].includes(row.use) && row.algorithm !== "ed25519+sha256") return "密钥的算法不能用于日志";
  }
  const barred = (value.barred ?? []).map((row) => row.fingerprint);
  if (!isRisen(barred)) return "停用的证书重复或者没有排列";
  if (value.entries.some((row) => row.use === "ca" && barred.includes(row.fingerprint))) return "根证书不能作为单份证书停用";
  return unsoundLogs(value.entries.filter((row) => row.use === "log"));
}

/** A name is the first log's, or is founded once, by its earliest key, behind a log that was there before. */
function unsoundLogs(keys) {
  const founders = keys.filter((row) => row.keeps !== undefined);
  const founded = new Map(founders.map((row) => [row.name, row.from_index]));
  const first = keys.filter((row) => !founded.has(row.name));
  if (founded.size < founders.length || new Set(first.map((row) => row.name)).size > 1) {
    return "日志名称重复设立，或者新的名称没有写明保留条数";
  }
  const begins = Math.min(...first.map((row) => row.from_index));
  for (const row of keys) {
    if ((row.keeps ?? 0) > row.from_index) return "密钥的保留条数多于起期";
    const since = founded.get(row.name);
    if (since !== undefined && !(begins <= since && since <= row.from_index)) return "密钥的日志设立早于之前的日志";
  }
  return "";
}

async function unsoundStep(before, after) {
  const old = before.value;
  if (after.version !== old.version + 1 || after.previous !== before.eid) return "没有接续前一版";
  if (after.city !== old.city) return "城市与前一版不同";
  if (after.index < old.index || after.issued_at < old.issued_at) return "日志序号或者签发时间早于前一版";
  const kept = new Map();
  for (const row of after.entries) kept.set(await keyId(row), row);
  for (const row of old.entries) {
    const id = await keyId(row);
    const now = kept.get(id);
    if (now === undefined) return "缺少前一版的密钥";
    kept.delete(id);
    const bare = (one) => canonical({ ...one, until_index: null, revoked: null });
    if (bare(row) !== bare(now)) return "密钥的内容被改动";
    if (now.until_index !== row.until_index) {
      if (row.until_index !== null && row.until_index <= after.index) return "密钥的止期被不当改动";
      if (now.until_index === null || now.until_index < after.index) return "密钥的止期被不当改动";
    }
    if (row.revoked !== null && (now.revoked === null || now.revoked.index > row.revoked.index)) return "密钥的吊销被取消或者推后";
    if (now.revoked !== null && canonical(now.revoked) !== canonical(row.revoked) && now.revoked.index > after.index) {
      return "密钥的吊销晚于本版";
    }
  }
  const still = new Set((after.barred ?? []).map(canonical));
  if ((old.barred ?? []).some((row) => !still.has(canonical(row)))) return "前一版停用的证书被取消或者改动";
  return [...kept.values()].some((row) => row.from_index < after.index) ? "新密钥的起期早于本版" : "";
}

async function unsigned(before, value, sealed) {
  const changed = before !== undefined && canonical([before.roots, before.threshold]) !== canonical([value.roots, value.threshold]);
  const sets = [[value.roots, value.threshold], ...(changed ? [[before.roots, before.threshold]] : [])];
  const keys = new Map();
  for (const [roots] of sets) for (const row of roots) keys.set(await keyId(row), row);
  const names = sealed.signatures.map((one) => one.keyid);
  if (!isRisen(names)) return "签名重复或者没有排列";
  for (const { keyid, sig } of sealed.signatures) {
    if (!keys.has(keyid) || !(await holds(keys.get(keyid), sig, sealed.signed))) return "签名不成立";
  }
  for (const [roots, threshold] of sets) {
    const ids = await Promise.all(roots.map(keyId));
    if (ids.filter((id) => names.includes(id)).length < threshold) return "根签名不足";
  }
  return "";
}

// --- the bundle

const FACT_KINDS = FACTS.map((kind) => kind.toUpperCase());
const WORD_KINDS = ["NOTICE", "SUPERVISION", "REPLY"];
const TELLING = [...FACT_KINDS, ...WORD_KINDS, "LODGED", "EQUIVOCATION"];
const twelve = (number) => String(number).padStart(12, "0");

class Bundle {
  constructor(members, manifest) {
    Object.assign(this, { members, manifest, statements: new Map(), entries: [], export: null, about: new Map() });
  }

  told(eid, ...kinds) {
    return (this.about.get(eid) ?? []).filter((entry) => kinds.includes(entry.value.kind));
  }

  /** Statements of one type with a canonical payload: [eid, payload]. */
  ofType(type) {
    return [...this.statements.values()].filter((one) => one.type === type && one.value).map((one) => [one.eid, one.value]);
  }

  get headers() {
    return new Map(this.ofType("header").filter(([eid]) => this.told(eid, "EQUIVOCATION").length === 0));
  }
}

function readManifest(members, report) {
  const check = report.checks.manifest;
  const data = members.get("bundle.json");
  if (data === undefined) {
    check.fail("bundle.json", "缺少");
    return null;
  }
  check.checked += 1;
  let value;
  try {
    value = read(data, (v) => v !== null && typeof v === "object" && !Array.isArray(v));
    if (value.format === "xieban-bundle" && Number.isInteger(value.v) && value.v > 1) {
      check.open = "本程序只认识第 1 版格式";
      report.unreadable = true;
      return null;
    }
    if (!MANIFEST(value)) throw new NotCanonical("字段不合规定");
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    check.fail("bundle.json", error.message);
    return null;
  }
  for (const name of ["statements", "entries", "marks"]) check.demand(isRisen(value[name]), "bundle.json", `${name} 重复或者没有排列`);
  return value;
}

async function takeApart(members, report) {
  const manifest = readManifest(members, report);
  if (manifest === null) return null;
  const bundle = new Bundle(members, manifest);
  for (const [name, data] of members) {
    const { kind, parts } = nameOf(name);
    if (kind === "statement") await takeStatement(bundle, name, parts[0], data, report.checks.canonical);
    if (kind === "entry") {
      let value = null;
      try {
        value = read(data, ENTRY);
      } catch {
        // the check `inclusion` says so
      }
      bundle.entries.push({ position: Number(parts[0]), data, value, proof: members.get(`entries/${parts[0]}.tlog-proof`) });
    }
  }
  bundle.entries.sort((a, b) => a.position - b.position);
  const listed = new Set(manifest.entries);
  bundle.export = bundle.entries.findLast((entry) => !listed.has(entry.position)) ?? null;
  bundle.entries = bundle.entries.filter((entry) => entry !== bundle.export);
  for (const entry of bundle.entries) {
    if (entry.value === null) continue;
    if (!bundle.about.has(entry.value.eid)) bundle.about.set(entry.value.eid, []);
    bundle.about.get(entry.value.eid).push(entry);
  }
  checkComplete(bundle, report.checks.manifest);
  return bundle;
}

async function takeStatement(bundle, name, eid, data, check) {
  check.checked += 1;
  let sealed;
  try {
    sealed = openEnvelope(read(data, ENVELOPE));
  } catch (error) {
    if (!(error instanceof NotCanonical)) throw error;
    check.fail(name, `信封${error.message}`);
    return;
  }
  let value = null;
  if (!Object.hasOwn(SCHEMAS, sealed.type) || sealed.payload.length > 16 * KIB) check.fail(name, "种类不认识或者过长");
  else {
    try {
      value = read(sealed.payload, SCHEMAS[sealed.type]);
    } catch (error) {
      check.fail(name, error.message);
    }
  }
  if (hex(await sha256(sealed.signed)) !== eid) check.fail(name, "标识与名称不符");
  else bundle.statements.set(eid, { eid, ...sealed, value });
}

function checkComplete(bundle, check) {
  const { manifest, members } = bundle;
  const positions = [...manifest.entries, ...(bundle.export ? [bundle.export.position] : [])];
  const wanted = new Set([
    "bundle.json",
    "checkpoint",
    "trust.json",
    ...manifest.statements.map((eid) => `statements/${eid}.json`),
    ...positions.flatMap((position) => [`entries/${twelve(position)}.json`, `entries/${twelve(position)}.tlog-proof`]),
    ...manifest.marks.map((mark) => `marks/${mark}`),
  ]);
  check.checked += wanted.size;
  for (const name of wanted) if (!members.has(name)) check.fail(name, "目录列有而没有");
  for (const name of members.keys()) if (!name.startsWith("dossiers/") && !wanted.has(name)) check.fail(name, "目录没有列出");
  check.demand(bundle.export !== null, "entries", "缺少本次导出的登记");
}

// --- checks of keys and log

async function checkTrust(bundle, pins, report) {
  const { roots, trust: check } = report.checks;
  const data = bundle.members.get("trust.json");
  if (data === undefined) {
    roots.open = check.open = "没有信任清单";
    return null;
  }
  const chain = await readTrust(data);
  if (chain.versions.length === 0) roots.open = "没有可信的信任清单";
  else {
    const first = chain.versions[0].value;
    const found = (await Promise.all(first.roots.map(fingerprint))).sort();
    roots.checked = found.length;
    roots.note = found.join(" ");
    if (!pins) roots.open = "未核对根密钥：没有给出经核对的指纹";
    else {
      const given = [...new Set(pins.roots)].sort();
      if (canonical(given) !== canonical(found) || pins.threshold !== first.threshold) roots.fail("v1", "与给出的指纹或者签名数不符");
    }
  }
  check.checked = chain.versions.length;
  for (const [what, reason] of chain.defects) check.fail(what, reason);
  if (check.defects.length) return null;
  const last = chain.versions.at(-1);
  check.demand(last.eid === bundle.manifest.trust, "trust.json", "最新一版不是导出时的那一版");
  check.demand(last.value.city === bundle.manifest.city, "trust.json", "是另一城市的");
  check.note = `第 1 至 ${chain.versions.length} 版`;
  return check.verdict === "pass" ? last.value : null;
}

class Doubt extends Error {}

/** A checkpoint that is signed and witnessed: {tree, times: Map name → seconds}. Throws Doubt. */
async function believed(data, trust) {
  let tree;
  try {
    tree = await parseCheckpoint(data);
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new Doubt("格式有误");
  }
  if (tree.size < 1n || tree.extensions.length) throw new Doubt("格式有误");
  const keys = new Map();
  const names = new Set();
  for (const row of trust.entries) {
    if (!["log", "witness"].includes(row.use) || !covers(row, tree.size - 1n)) continue;
    if (row.use === "log" && row.name !== tree.origin) continue;
    const kind = row.use === "log" ? 1 : 4;
    const id = (await sha256(encode(`${row.name}\n`), Uint8Array.of(kind), unhex(row.public))).subarray(0, 4);
    keys.set(`${row.name} ${hex(id)}`, { row, kind });
    if (row.use === "witness") names.add(row.name);
  }
  const { signatures, text: body } = tree.note;
  const logs = signatures.filter(({ place }) => keys.get(place)?.kind === 1);
  if (logs.length !== 1) throw new Doubt("没有本市监督日志的签名");
  const times = new Map();
  for (const { place, name, value } of signatures) {
    const key = keys.get(place);
    if (key === undefined) throw new Doubt("含有信任清单以外的签名");
    let [message, signature] = [body, value];
    if (key.kind === 4) {
      if (value.length !== 72) throw new Doubt("签名不成立");
      const at = new DataView(value.buffer, value.byteOffset).getBigUint64(0);
      if (at === 0n || at > 2n ** 63n - 1n) throw new Doubt("签名不成立");
      [message, signature] = [`cosignature/v1\ntime ${at}\n${body}`, value.subarray(8)];
      times.set(name, at);
    }
    if (!(await ed25519(key.row.public, signature, encode(message)))) throw new Doubt("签名不成立");
  }
  if (names.size === 0 || times.size < Math.floor((2 * names.size) / 3) + 1) throw new Doubt("联署不足");
  return { tree, times };
}

async function checkCheckpoint(bundle, trust, check) {
  const data = bundle.members.get("checkpoint");
  if (data === undefined) {
    check.open = "没有检查点";
    return null;
  }
  try {
    const found = await believed(data, trust);
    check.checked += 1 + found.times.size;
    check.note = `大小 ${found.tree.size}，${found.times.size} 个见证方联署`;
    return found;
  } catch (error) {
    if (!(error instanceof Doubt)) throw error;
    check.fail("checkpoint", error.message);
    return null;
  }
}

async function parsedTree(bundle) {
  try {
    return await parseCheckpoint(bundle.members.get("checkpoint") ?? new Uint8Array());
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    return null;
  }
}

function splitHead(data, { longest }) {
  let cut = -1;
  for (let at = 0; at + 1 < data.length; at++) {
    if (data[at] === 10 && data[at + 1] === 10) {
      cut = at;
      break;
    }
  }
  if (cut < 0 || data.length > longest || data.subarray(0, cut).some((byte) => byte > 0x7f)) throw new Malformed();
  return { lines: decode(data.subarray(0, cut)).split("\n"), rest: data.subarray(cut + 2) };
}

async function checkInclusion(bundle, tree, check) {
  if (tree === null) {
    check.open = "没有可用的检查点";
    return;
  }
  const own = bundle.members.get("checkpoint");
  for (const entry of [...bundle.entries, ...(bundle.export ? [bundle.export] : [])]) {
    const what = `#${entry.position}`;
    if (!check.demand(entry.value !== null && entry.value.position === entry.position, what, "条目不是规范编码，或者序号不符")) continue;
    let path;
    try {
      if (entry.proof === undefined) throw new Malformed();
      const { lines, rest } = splitHead(entry.proof, { longest: 256 * KIB });
      const [head, index, ...hashes] = lines;
      if (head !== "c2sp.org/tlog-proof@v1" || index !== `index ${entry.position - 1}` || hashes.length > 63) throw new Malformed();
      if (!same(rest, own)) throw new Malformed();
      path = hashes.map(hashOf);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      check.fail(what, "入册证明缺少、格式有误，或者不是本包检查点的");
      continue;
    }
    const leaf = await sha256(Uint8Array.of(0), entry.data);
    if (!(await includes(leaf, BigInt(entry.position - 1), tree.size, tree.root, path))) check.fail(what, "推算结果与树根不符");
  }
}

async function checkExport(bundle, check) {
  const entry = bundle.export;
  if (entry === null || entry.value === null) {
    check.open = "没有本次导出的登记";
    return;
  }
  const { manifest } = bundle;
  const digest = hex(await sha256(bundle.members.get("bundle.json")));
  const what = `#${entry.position}`;
  check.demand(entry.value.kind === "EXPORT" && entry.value.eid === "", what, "不是导出登记");
  check.demand(entry.value.case === manifest.case, what, "是另一案件的");
  check.demand(entry.value.detail === `${manifest.profile}:${digest}`, what, "登记的内容摘要与目录不符");
  check.demand(entry.value.at === manifest.at, what, "登记的时间与目录不符");
  check.demand(manifest.entries.every((position) => position < entry.position), what, "登记不在所列条目之后");
}

async function checkTimes(bundle, trust, final, report) {
  const check = report.checks.times;
  if (final === null) {
    check.open = "没有可信的检查点";
    return;
  }
  const middle = (times, up) => {
    const sorted = [...times.values()].sort((a, b) => (a < b ? -1 : 1));
    return sorted[Math.floor((sorted.length - (up ? 0 : 1)) / 2)];
  };
  const lower = [];
  const upper = [[final.tree.size, middle(final.times, true)]];
  for (const name of bundle.manifest.marks) {
    const data = bundle.members.get(`marks/${name}`);
    if (data === undefined) continue;
    try {
      const { lines, rest } = splitHead(data, { longest: 256 * KIB });
      const hashes = lines.slice(1).map(hashOf);
      if (lines[0] !== "xieban/tlog-consistency@v1" || hashes.length > 126) throw new Malformed();
      const { tree, times } = await believed(rest, trust);
      const grown = await extendsTree(tree.size, tree.root, final.tree.size, final.tree.root, hashes);
      if (twelve(tree.size) !== name.slice(0, 12) || !grown) throw new Malformed();
      check.checked += 1;
      if (name.endsWith("last")) lower.push([tree.size, middle(times, false)]);
      else upper.push([tree.size, middle(times, true)]);
    } catch (error) {
      if (!(error instanceof Malformed) && !(error instanceof Doubt)) throw error;
      check.fail(`marks/${name}`, error.message || "不是本日志较早的检查点");
    }
  }
  if (bundle.manifest.sandbox) {
    check.none = "沙箱时钟，时间不作证明";
    return;
  }
  for (const entry of [...bundle.entries, ...(bundle.export ? [bundle.export] : [])]) {
    if (entry.value === null) continue;
    const [at, position] = [BigInt(entry.value.at) / 1000000n, BigInt(entry.position)];
    const early = lower.some(([size, time]) => size < position && at < time - BigInt(SKEW));
    const late = upper.some(([size, time]) => size >= position && at > time + BigInt(SKEW));
    check.demand(!early && !late, `#${entry.position}`, "登记时间不在前后联署的时间之间");
  }
}

// --- checks of statements

async function checkSeals(bundle, trust, check) {
  const keys = new Map();
  for (const row of trust.entries) if (row.use === "seal") keys.set(await keyId(row), row);
  for (const statement of bundle.statements.values()) {
    check.checked += 1;
    const reason = await unsealed(bundle, statement, keys);
    if (reason) check.fail(statement.eid, reason);
  }
}

async function unsealed(bundle, statement, keys) {
  const { signatures, type, value, eid } = statement;
  if (signatures.length !== 1) return "应有一份签名";
  const row = keys.get(signatures[0].keyid);
  if (row === undefined) return "密钥不在信任清单中";
  if (value !== null) {
    const office = type === "header" ? value.from.office : "";
    if (row.agency !== value.from.agency || (row.office !== "" && row.office !== office)) return "密钥不是该机关的";
    const told =
      type === "receipt"
        ? [...value.facts.flatMap((fact) => bundle.told(fact.of, fact.kind.toUpperCase())), ...bundle.told(eid, "EQUIVOCATION")]
        : bundle.told(eid, "LODGED", "EQUIVOCATION", ...WORD_KINDS);
    if (!told.every((entry) => covers(row, BigInt(entry.position - 1)))) return "密钥在该日志序号处无效";
  }
  return (await holds(row, signatures[0].sig, statement.signed)) ? "" : "签名与内容不符";
}

async function checkApprovals(bundle, trust, check) {
  const officers = [];
  for (const row of trust.entries) if (row.use === "officer") officers.push({ ...row, id: await keyId(row) });
  for (const [eid, header] of bundle.headers) {
    if (bundle.told(eid, "REJECTED").length) continue; // it was never let in
    const ours = officers.filter((row) => row.agency === header.from.agency && (row.office === "" || row.office === header.from.office));
    const indexes = bundle.told(eid, "LODGED").map((entry) => BigInt(entry.position - 1));
    const named = indexes.some((index) =>
      Object.keys(ROLES).every((role) => ours.some((row) => row.role === role && covers(row, index))),
    );
    const needed = Object.hasOwn(NEEDED, header.kind) && named;
    if (!needed && header.approvals === undefined) continue;
    const reason = await unapproved(header, ours, indexes, needed);
    check.demand(!reason, eid, reason);
  }
  if (check.checked === 0) check.none = "没有须经签批的流转";
}

/** What is wrong with the approvals of a header, given the officers of its office. */
async function unapproved(header, ours, indexes, needed) {
  const given = header.approvals ?? [];
  if (!isRisen(given.map((one) => one.role))) return "同一角色的签批重复或者没有排列";
  const holders = new Set();
  for (const { role, keyid, sig } of given) {
    const row = ours.find((one) => one.id === keyid && one.role === role);
    if (row === undefined) return `密钥 ${keyid} 不是该单位${ROLES[role]}的`;
    if (!indexes.every((index) => covers(row, index))) return `${ROLES[role]}的密钥 ${keyid} 在该日志序号处无效`;
    const octets = unbase64(sig);
    const { from, to, kind, outcome, re, secrecy, acts, clocks, dossier, client_ref_hash } = header;
    const matter = { v: 1, role, from, to, case: header.case.id, kind, outcome, re, secrecy, acts, clocks, dossier, client_ref_hash };
    const signed = preAuthentication("approval", encode(canonical(matter)));
    if (octets === null || !(await holds(row, octets, signed))) return `${ROLES[role]}的签批与内容不符`;
    holders.add(row.holder);
  }
  if (holders.size !== given.length) return "审批人与经办人为同一人";
  const missing = Object.keys(ROLES).filter((role) => !given.some((one) => one.role === role));
  if (!needed || missing.length === 0) return "";
  return `${header.kind} 依${NEEDED[header.kind]}须经负责人批准，缺少${missing.map((role) => ROLES[role]).join("、")}的签批`;
}

function checkFields(bundle, check) {
  for (const statement of bundle.statements.values()) {
    if (statement.value === null) continue;
    const reason = unsoundFields(statement.type, statement.value, bundle.manifest);
    check.demand(!reason, statement.eid, reason);
  }
}

function unsoundFields(type, value, manifest) {
  const { from, to } = value;
  if (value.v !== 1) return "版本不认识";
  if (from.city !== manifest.city || to.city !== manifest.city) return "不是本市的";
  const isParty = (end) => PARTIES.includes(end.agency);
  if (type === "header") {
    if (value.case.id !== manifest.case) return "是另一案件的";
    if (!isParty(from) || !(isParty(to) || to.agency === "gateway")) return "发送方或者接收方不是流转的一方";
    if (![from, to].every((end) => /^[0-9]{6}$/.test(end.office))) return "单位代码不是六位数字";
    if (value.lane.seq < 1 || (value.lane.seq === 1) !== (value.lane.prev === "")) return "序号与前一份的标识不相称";
  } else if (type === "receipt") {
    if (!isParty(from) || !isParty(to)) return "出具方或者收件方不是流转的一方";
  } else if (type === "notice") {
    if (value.case !== manifest.case) return "是另一案件的";
    if (from.agency !== "gateway" || !isParty(to)) return "不是监督网关给办案机关的";
    const ofLimit = ["warning", "overdue", "unmet"].includes(value.occasion);
    if (value.scope !== SCOPE || ofLimit !== (value.demand === null)) return "与该类文书应有的内容不符";
  } else {
    if (!isParty(from) || to.agency !== "gateway") return "不是办案机关给监督网关的";
    if (value.scope !== SCOPE || (value.act === "explain") !== (value.cause !== null)) return "与该类文书应有的内容不符";
  }
  return "";
}

function checkLanes(bundle, check) {
  const lanes = new Map();
  for (const [eid, header] of bundle.headers) {
    const lane = `${header.from.agency} ${header.to.agency}`;
    lanes.set(lane, [...(lanes.get(lane) ?? []), { eid, ...header.lane }]);
  }
  for (const rows of lanes.values()) {
    rows.sort((a, b) => a.seq - b.seq || (a.eid < b.eid ? -1 : 1));
    let [before, next] = ["", 1];
    for (const { eid, seq, prev } of rows) {
      const reason = seq < next ? "序号重复" : seq > next ? `缺少第 ${next} 份` : prev !== before ? "所载的前一份不是前一份" : "";
      check.demand(!reason, eid, reason);
      [before, next] = [eid, seq + 1];
    }
  }
}

const OPEN_STATES = ["sent", "delivered", "complete"];
const FOLLOWS = {
  delivered: ["sent"], complete: ["sent", "delivered"], accepted: OPEN_STATES, returned: OPEN_STATES,
  answered: [...OPEN_STATES, "accepted"], rejected: OPEN_STATES, withdrawn: OPEN_STATES,
};

/** Facts by header: [{fact, receipt, eid}], in order. */
function factsOf(bundle) {
  const found = new Map();
  for (const [eid, receipt] of bundle.ofType("receipt")) {
    for (const fact of receipt.facts) found.set(fact.of, [...(found.get(fact.of) ?? []), { fact, receipt, eid }]);
  }
  const rank = (row) => FACTS.indexOf(row.fact.kind);
  for (const rows of found.values()) {
    rows.sort((a, b) => a.fact.at - b.fact.at || rank(a) - rank(b) || (a.eid < b.eid ? -1 : a.eid > b.eid ? 1 : 0));
  }
  return found;
}

const isReceivers = (header, receipt) =>
  receipt.from.agency === header.to.agency && receipt.to.agency === header.from.agency;

function checkReceipts(bundle, facts, check) {
  const { headers } = bundle;
  const receipts = bundle.ofType("receipt");
  if (receipts.length === 0) check.none = "没有回执";
  for (const [eid, receipt] of receipts) {
    check.demand(receipt.facts.some((fact) => headers.has(fact.of)), eid, "所述的流转不在本包之内");
  }
  for (const [of, header] of headers) {
    let state = "sent";
    for (const { fact, receipt, eid } of facts.get(of) ?? []) {
      if (!check.demand(isReceivers(header, receipt), eid, "不是收件方对发送方出具的")) continue;
      const { kind } = fact;
      if (FOLLOWS[kind].includes(state)) state = kind;
      else {
        const older = kind === state || kind === "delivered" || kind === "complete" || (kind === "accepted" && state === "answered");
        check.demand(older, eid, `${state} 之后不能有 ${kind}`);
      }
      if (kind === "answered") {
        const answer = headers.get(fact.answer);
        const back = answer !== undefined && isReceivers(header, answer) && answer.re.includes(of);
        check.demand(back, eid, "所称的答复不在本包之内，或者不是对该流转的答复");
      }
    }
  }
}

function checkNotices(bundle, check) {
  const notices = new Map(bundle.ofType("notice"));
  const replies = bundle.ofType("reply");
  if (notices.size === 0 && replies.length === 0) check.none = "没有通知";
  check.checked += notices.size;
  for (const [eid, reply] of replies) {
    const notice = notices.get(reply.of);
    const answers = notice?.demand?.id === reply.supervision && notice.to.agency === reply.from.agency;
    check.demand(answers, eid, "所回复的通知不在本包之内，或者不是给该机关的");
  }
}

function checkEntries(bundle, facts, check) {
  const wanted = new Map();
  const want = (kind, eid, detail) => {
    const place = `${kind} ${eid}`;
    wanted.set(place, { kind, eid, details: [...(wanted.get(place)?.details ?? []), detail] });
  };
  for (const [eid, header] of bundle.headers) {
    want("LODGED", eid, header.kind);
    for (const { fact, receipt } of facts.get(eid) ?? []) {
      if (isReceivers(header, receipt)) want(fact.kind.toUpperCase(), eid, fact.defects.length ? fact.defects[0].code : header.kind);
    }
  }
  for (const { kind, eid, details } of wanted.values()) {
    const told = bundle.told(eid, kind);
    check.demand(told.length === 1, eid, `日志中有 ${told.length} 条 ${kind}，应有 1 条`);
    for (const entry of told) check.demand(details.includes(entry.value.detail), `#${entry.position}`, "登记的事项与报文不符");
  }
  for (const [eid] of [...bundle.ofType("notice"), ...bundle.ofType("reply")]) {
    check.demand(bundle.told(eid, ...WORD_KINDS).length === 1, eid, "日志中应有 1 条登记");
  }
  for (const { value, position } of bundle.entries) {
    if (value === null) continue;
    check.demand(value.case === bundle.manifest.case, `#${position}`, "是另一案件的");
    if (!TELLING.includes(value.kind)) continue;
    const ofHeader = value.kind === "LODGED" || FACT_KINDS.includes(value.kind);
    const here = ofHeader ? wanted.has(`${value.kind} ${value.eid}`) : bundle.statements.has(value.eid);
    check.demand(here, `#${position}`, "所登记的报文不在本包之内");
  }
}

async function checkDossiers(bundle, report) {
  const { commitments, files } = report.checks;
  const dossiers = new Map();
  for (const [name, data] of bundle.members) {
    const { kind, parts } = nameOf(name);
    if (!["dossier", "salt", "file"].includes(kind)) continue;
    if (!dossiers.has(parts[0])) dossiers.set(parts[0], { files: new Map() });
    if (kind === "file") dossiers.get(parts[0]).files.set(Number(parts[1]), data);
    else dossiers.get(parts[0])[kind] = data;
  }
  const headers = new Map(bundle.ofType("header"));
  if (dossiers.size === 0) commitments.none = "没有移送清单";
  if (![...dossiers.values()].some((one) => one.files.size)) files.none = "没有案卷文件";
  for (const [eid, one] of dossiers) {
    const what = `dossiers/${eid}`;
    const lines = await committed(headers.get(eid), one, what, commitments);
    if (one.files.size === 0) continue;
    if (lines === null) {
      files.open = "没有可信的移送清单";
      continue;
    }
    const wanted = new Set([...one.files.keys(), ...lines.map((_, i) => i + 1)]);
    for (const number of [...wanted].sort((a, b) => a - b)) {
      const [line, data] = [lines[number - 1], one.files.get(number)];
      const intact = line !== undefined && data !== undefined && data.length === line.bytes && hex(await sha256(data)) === line.sha256;
      files.demand(intact, `${what}/files/${String(number).padStart(3, "0")}`, "缺少、不在清单上，或者摘要与移送清单不符");
    }
  }
}

async function committed(header, one, what, check) {
  check.checked += 1;
  if (header === undefined || one.dossier === undefined || one.salt === undefined) {
    check.fail(what, "缺少报头、移送清单或者盐值");
    return null;
  }
  const commitment = header.dossier;
  if (one.salt.length !== 32 || hex(await sha256(one.salt, one.dossier)) !== commitment.commit) {
    check.fail(what, "与报头所载的承诺不符");
    return null;
  }
  let value;
  try {
    value = read(one.dossier, DOSSIER);
  } catch (error) {
    check.fail(what, `移送清单${error.message}`);
    return null;
  }
  const sum = (rows, name) => rows.reduce((total, row) => total + row[name], 0);
  const sizes = [value.files.length, sum(value.files, "bytes"), sum([...value.files, ...value.evidence], "pages")];
  if (canonical(sizes) !== canonical([commitment.files, commitment.bytes, commitment.pages])) {
    check.fail(what, "文件数、字节数或者页数与报头不符");
  }
  return value.files;
}

// --- all of it

function rowsOf(bundle, facts) {
  const rows = [...bundle.headers].map(([eid, header]) => {
    const stated = {};
    for (const { fact, receipt } of facts.get(eid) ?? []) if (isReceivers(header, receipt)) stated[fact.kind] ??= fact.at;
    const lodged = bundle.told(eid, "LODGED")[0]?.value;
    return {
      eid, kind: header.kind, outcome: header.outcome, from: `${header.from.agency}-${header.from.office}`,
      to: `${header.to.agency}-${header.to.office}`, sent_at: header.sent_at, index: lodged ? lodged.position - 1 : null,
      lodged_at: lodged ? lodged.at : null, facts: stated,
    };
  });
  return rows.sort((a, b) => a.sent_at - b.sent_at || (a.index ?? 0) - (b.index ?? 0) || (a.eid < b.eid ? -1 : 1));
}

/** The report on a bundle (Uint8Array). `pins`: {roots: [fingerprint in hex], threshold}, or null. JSON.stringify takes it as it is. */
export async function verify(data, pins = null) {
  const report = new Report();
  const names = Object.keys(CHECKS);
  let unpacked;
  try {
    unpacked = unpack(data);
  } catch (error) {
    if (!(error instanceof Unreadable)) throw error;
    report.checks.container.fail("zip", error.message);
    report.unreadable = true;
    report.leaveOpen("无法读取", names.slice(1));
    return report;
  }
  report.checks.container.checked = unpacked.members.size;
  for (const [what, reason] of unpacked.defects) report.checks.container.fail(what, reason);
  const bundle = await takeApart(unpacked.members, report);
  if (bundle === null) {
    report.leaveOpen("没有可用的目录", names.slice(2));
    return report;
  }
  const { manifest } = bundle;
  const facts = factsOf(bundle);
  const trust = await checkTrust(bundle, pins, report);
  let final = null;
  if (trust === null) report.leaveOpen("没有可信的信任清单", ["checkpoint", "seals", "approvals", "times"]);
  else {
    final = await checkCheckpoint(bundle, trust, report.checks.checkpoint);
    await checkSeals(bundle, trust, report.checks.seals);
    await checkApprovals(bundle, trust, report.checks.approvals);
    await checkTimes(bundle, trust, final, report);
  }
  await checkInclusion(bundle, await parsedTree(bundle), report.checks.inclusion);
  await checkExport(bundle, report.checks.export);
  checkFields(bundle, report.checks.fields);
  checkLanes(bundle, report.checks.lanes);
  checkReceipts(bundle, facts, report.checks.receipts);
  checkNotices(bundle, report.checks.notices);
  checkEntries(bundle, facts, report.checks.entries);
  await checkDossiers(bundle, report);
  report.bundle = { case: manifest.case, city: manifest.city, profile: manifest.profile, sandbox: manifest.sandbox, at: manifest.at };
  if (final !== null) {
    const witnesses = [...final.times].map(([name, at]) => ({ name, at: Number(at) }));
    witnesses.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1));
    report.bundle.checkpoint = { size: Number(final.tree.size), witnesses };
  }
  report.rows = rowsOf(bundle, facts);
  return report;
}

/** Pins out of the text of a roots file and fingerprints given one by one; null when there are none. */
export function readPins(file, fingerprints = [], threshold = null) {
  const roots = fingerprints.map((one) => one.trim().toLowerCase());
  for (const line of file.split(/\r?\n/)) {
    const word = line.split("#")[0].trim();
    const match = /^threshold ([1-9]|1[0-6])$/.exec(word);
    if (match) threshold ??= Number(match[1]);
    else if (word) roots.push(word.toLowerCase());
  }
  const wrong = roots.find((one) => !/^[0-9a-f]{64}$/.test(one));
  if (wrong !== undefined) throw new Error(`“${wrong.slice(0, 80)}”不是 64 位十六进制的根密钥指纹`);
  return roots.length ? { roots, threshold: threshold ?? 3 } : null;
}

async function main(argv) {
  const { readFile } = await import("node:fs/promises");
  const given = { fingerprints: [], roots: "", threshold: null, files: [] };
  for (let i = 0; i < argv.length; i++) {
    if (argv[i] === "--roots") given.roots = await readFile(argv[++i], "utf8");
    else if (argv[i] === "--root-fingerprint") given.fingerprints.push(argv[++i]);
    else if (argv[i] === "--threshold") given.threshold = Number(argv[++i]);
    else given.files.push(argv[i]);
  }
  if (given.files.length !== 1) throw new Error("用法：node xieban_verify.mjs 证据包 [--roots 文件] [--root-fingerprint 指纹]… [--threshold N]");
  const report = await verify(new Uint8Array(await readFile(given.files[0])), readPins(given.roots, given.fingerprints, given.threshold));
  console.log(JSON.stringify(report, null, 2));
  return { pass: 0, fail: 1 }[report.verdict] ?? 2;
}

if (typeof process !== "undefined" && process.argv?.[1]?.endsWith("xieban_verify.mjs")) {
  main(process.argv.slice(2)).then(
    (code) => { process.exitCode = code; },
    (error) => { console.error(`没有核验：${error.message}`); process.exitCode = 2; },
  );
}
