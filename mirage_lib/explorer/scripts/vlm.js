// The laboratory's VLM, run where the page is read: CLIP tower, projector and Llama decoder in plain arrays.
// Comes in: a packed model (page.py), a picture's pixels, a prompt's token numbers. Goes out: the reply, token by token,
// with the probabilities of the first one. Shapes are written [rows, columns]; numbers are 32-bit floats, sums 64-bit.

/** Weights from a packed model: name -> {shape, data}, as 32-bit floats. A tensor lies in one of the buffers. */
export function unpack(tensors, buffers) {
  const weights = {};
  for (const [name, {shape, kind, at, part}] of Object.entries(tensors)) {
    const buffer = buffers[part];
    const size = shape.reduce((a, b) => a * b, 1);
    let data;
    if (kind === "float32") {
      data = new Float32Array(buffer.slice(at, at + 4 * size));
    } else if (kind === "float16") {
      data = Float32Array.from(new Uint16Array(buffer, at, size), half);
    } else {
      const rows = shape[0], each = size / rows, after = at + Math.ceil(size / 4) * 4;
      const scales = new Float32Array(buffer.slice(after, after + 4 * rows));
      data = Float32Array.from(new Int8Array(buffer, at, size), (value, i) => value * scales[Math.floor(i / each)]);
    }
    weights[name] = {shape, data};
  }
  return weights;
}

/** The number that the bits of a 16-bit float stand for. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return exponent === 31 ? (fraction ? NaN : sign * Infinity) : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** y = W x + b for each row of x: [n, in] -> [n, out]. */
function linear(x, n, weight, bias) {
  const [out, size] = [weight.shape[0], weight.data.length / weight.shape[0]];
  const w = weight.data, y = new Float32Array(n * out);
  for (let r = 0; r < n; r++) {
    for (let o = 0; o < out; o++) {
      let sum = bias ? bias.data[o] : 0;
      for (let i = 0, a = r * size, b = o * size; i < size; i++) sum += x[a + i] * w[b + i];
      y[r * out + o] = sum;
    }
  }
  return y;
}

function normed(x, n, weight, bias, epsilon, centred) {
  const size = weight.data.length, y = new Float32Array(n * size);
  for (let r = 0; r < n; r++) {
    let mean = 0, square = 0;
    if (centred) for (let i = 0; i < size; i++) mean += x[r * size + i] / size;
    for (let i = 0; i < size; i++) square += (x[r * size + i] - mean) ** 2 / size;
    const scale = 1 / Math.sqrt(square + epsilon);
    for (let i = 0; i < size; i++) {
      y[r * size + i] = (x[r * size + i] - mean) * scale * weight.data[i] + (bias ? bias.data[i] : 0);
    }
  }
  return y;
}

const added = (x, y) => x.map((value, i) => value + y[i]);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

/** Gauss's error function to double precision: its series near zero, a continued fraction for its complement beyond. */
export function erf(x) {
  const z = Math.abs(x);
  let value;
  if (z < 2.5) {
    let term = z, sum = z;
    for (let k = 1; k < 60; k++) {
      term *= -z * z / k;
      sum += term / (2 * k + 1);
    }
    value = 2 / Math.sqrt(Math.PI) * sum;
  } else {
    let fraction = 0;
    for (let k = 60; k > 0; k--) fraction = k / 2 / (z + fraction);
    value = 1 - Math.exp(-z * z) / Math.sqrt(Math.PI) / (z + fraction);
  }
  return x < 0 ? -value : value;
}

export function softmax(x) {
  const top = x.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = Float64Array.from(x, (value) => Math.exp(value - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

/** Attention of queries [n, heads*size] over keys and values [m, heads*size]; query i may see the first seen(i). */
function attention(q, k, v, n, m, heads, seen) {
  const width = q.length / n, size = width / heads, out = new Float32Array(n * width);
  for (let h = 0; h < heads; h++) {
    for (let i = 0; i < n; i++) {
      const count = Math.min(m, seen(i)), scores = new Float64Array(count);
      for (let j = 0; j < count; j++) {
        let sum = 0;
        for (let d = 0; d < size; d++) sum += q[i * width + h * size + d] * k[j * width + h * size + d];
        scores[j] = sum / Math.sqrt(size);
      }
      const share = softmax(scores);
      for (let d = 0; d < size; d++) {
        let sum = 0;
        for (let j = 0; j < count; j++) sum += share[j] * v[j * width + h * size + d];
        out[i * width + h * size + d] = sum;
      }
    }
  }
  return out;
}

/** Rotates pairs of a head's halves by the position (RoPE), in place. */
function rotate(x, n, heads, from, theta) {
  const width = x.length / n, size = width / heads, half = size / 2;
  for (let r = 0; r < n; r++) {
    for (let d = 0; d < half; d++) {
      const angle = (from + r) / theta ** (d / half), cos = Math.cos(angle), sin = Math.sin(angle);
      for (let h = 0; h < heads; h++) {
        const at = r * width + h * size + d, a = x[at], b = x[at + half];
        x[at] = a * cos - b * sin;
        x[at + half] = b * cos + a * sin;
      }
    }
  }
  return x;
}

/** One model. `see` looks at a picture, `reply` answers a question about it. */
export class VLM {
  /** `manifest` as page.py writes it; `buffers` by the names that its tensors give. */
  constructor(manifest, buffers) {
    this.manifest = manifest;
    this.shape = manifest.shape;
    this.w = unpack(manifest.tensors, buffers);
    this.number = new Map(manifest.words.map((word, i) => [word, i]));
  }

  /** Token numbers of a prompt around a question, and the words of it that the model does not know. */
  tokens(question) {
    const words = question.toLowerCase().match(/[\p{L}\p{M}\p{N}_]+|[^\p{L}\p{M}\p{N}_\s]/gu) ?? [];
    const {before, after, unknown} = this.manifest;
    const ids = words.map((word) => this.number.get(word) ?? unknown);
    return {ids: [...before, ...ids, ...after], unknown: words.filter((word) => !this.number.has(word))};
  }

  /** Text of token numbers, special ones left out: words with spaces between them, signs without one before. */
  text(ids) {
    const shown = ids.filter((id) => !this.manifest.special.includes(id));
    return shown.map((id) => this.manifest.words[id]).join(" ").replace(/ (?=[.,?:])/g, "");
  }

  /** Image tokens [patches, width] from pixels, RGB bytes row by row. */
  see(pixels) {
    const {side, patch, vision, visionHeads: heads, visionLayers, visionEpsilon} = this.shape, w = this.w;
    const across = side / patch, n = across * across + 1;
    let x = new Float32Array(n * vision);
    x.set(w["vision.class"].data);
    const kernel = w["vision.patch"];
    for (let p = 0; p < n - 1; p++) {
      const top = Math.floor(p / across) * patch, left = (p % across) * patch;
      for (let o = 0; o < vision; o++) {
        let sum = 0;
        for (let c = 0; c < 3; c++) {
          for (let i = 0; i < patch; i++) {
            for (let j = 0; j < patch; j++) {
              const byte = pixels[((top + i) * side + left + j) * 3 + c];
              sum += (byte / 255 - 0.5) / 0.5 * kernel.data[((o * 3 + c) * patch + i) * patch + j];
            }
          }
        }
        x[(p + 1) * vision + o] = sum;
      }
    }
    x = added(x, w["vision.position"].data);
    x = normed(x, n, w["vision.before.weight"], w["vision.before.bias"], visionEpsilon, true);
    for (let l = 0; l < visionLayers; l++) {
      const of = (name) => w[`vision.${l}.${name}`];
      const bend = (y, name) => linear(y, n, of(`${name}.weight`), of(`${name}.bias`));
      let y = normed(x, n, of("norm1.weight"), of("norm1.bias"), visionEpsilon, true);
      x = added(x, bend(attention(bend(y, "q"), bend(y, "k"), bend(y, "v"), n, n, heads, () => n), "out"));
      y = normed(x, n, of("norm2.weight"), of("norm2.bias"), visionEpsilon, true);
      x = added(x, bend(bend(y, "up").map((value) => value * sigmoid(1.702 * value)), "down"));
    }
    const patches = x.slice(vision), m = n - 1;
    const inner = linear(patches, m, w["bridge.1.weight"], w["bridge.1.bias"]);
    return linear(inner.map((v) => v * 0.5 * (1 + erf(v / Math.SQRT2))), m, w["bridge.2.weight"], w["bridge.2.bias"]);
  }

  /** Logits after the last of new token states [n, width]; keys and values are kept in `memory`. */
  step(x, n, memory) {
    const {layers, heads, theta, epsilon} = this.shape, w = this.w, from = memory.length;
    for (let l = 0; l < layers; l++) {
      const of = (name) => w[`text.${l}.${name}`];
      let y = normed(x, n, of("norm1"), null, epsilon, false);
      const q = rotate(linear(y, n, of("q")), n, heads, from, theta);
      const k = rotate(linear(y, n, of("k")), n, heads, from, theta);
      const past = memory.layers[l] ?? {k: new Float32Array(0), v: new Float32Array(0)};
      const keys = joined(past.k, k), values = joined(past.v, linear(y, n, of("v")));
      memory.layers[l] = {k: keys, v: values};
      const heard = attention(q, keys, values, n, from + n, heads, (i) => from + i + 1);
      x = added(x, linear(heard, n, of("out")));
      y = normed(x, n, of("norm2"), null, epsilon, false);
      const gate = linear(y, n, of("gate")), up = linear(y, n, of("up"));
      x = added(x, linear(gate.map((value, i) => value * sigmoid(value) * up[i]), n, of("down")));
    }
    memory.length += n;
    const width = x.length / n;
    const last = normed(x.slice((n - 1) * width), 1, w["text.norm"], null, epsilon, false);
    return linear(last, 1, w["text.words"]);
  }

  /** Greedy reply to a prompt (token numbers, image tokens in their places): yields {token, chances} until it ends. */
  *reply(image, prompt, most = 16) {
    const {width} = this.shape, {image: imageToken, end} = this.manifest, table = this.w["text.embed"].data;
    const row = (token) => table.subarray(token * width, (token + 1) * width);
    const x = new Float32Array(prompt.length * width);
    let seen = 0;
    prompt.forEach((token, i) => {
      x.set(token === imageToken ? image.subarray(seen++ * width, seen * width) : row(token), i * width);
    });
    const memory = {length: 0, layers: []};
    let logits = this.step(x, prompt.length, memory);
    for (let i = 0; i < most; i++) {
      const token = logits.reduce((best, value, at) => (value > logits[best] ? at : best), 0);
      yield {token, chances: i === 0 ? softmax(logits) : null};
      if (token === end) return;
      logits = this.step(Float32Array.from(row(token)), 1, memory);
    }
  }
}

function joined(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
