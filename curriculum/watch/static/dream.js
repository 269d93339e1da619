// V's decoder, M and C of one agent in plain JavaScript: what a dream needs, and nothing else.
// Weights come as float32; sums are float64, so numbers agree with Python's to about 1e-4.
"use strict";

class Dream {
  constructor(told, weights) {
    this.told = told;
    this.tensors = {};
    for (const [name, { shape, at }] of Object.entries(told.tensors)) {
      const size = shape.reduce((a, b) => a * b, 1);
      this.tensors[name] = { shape, values: weights.subarray(at, at + size) };
    }
    this.random = Dream.generator(1);
    this.begin(0, 1);
  }

  static decode(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  // Uniform numbers in [0, 1) from a seed (mulberry32).
  static generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = state;
      t = Math.imul(t ^ (t >>> 15), t | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  normal() {
    const u = Math.max(this.random(), 1e-12), v = this.random();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  // Begins where a real episode stood.
  begin(start, seed) {
    const { z, before, h, c, trace } = this.told.starts[start % this.told.starts.length];
    this.random = Dream.generator(seed);
    this.z = Float64Array.from(z);
    this.before = Float64Array.from(before);
    this.h = Float64Array.from(h);
    this.c = Float64Array.from(c);
    this.trace = Float64Array.from(trace);
    this.score = 0;
    this.steps = 0;
    this.over = false;
  }

  // y = W x + b, W `[out, in]`.
  linear(name, x, y = new Float64Array(this.tensors[`${name}.bias`].values.length)) {
    const weight = this.tensors[`${name}.weight`].values, bias = this.tensors[`${name}.bias`].values;
    const inputs = x.length;
    for (let o = 0, at = 0; o < y.length; o++) {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++) sum += weight[at++] * x[i];
      y[o] = sum;
    }
    return y;
  }

  // What C reads.
  features() {
    const placed = 2 * this.told.key_points, changed = this.z.map((value, n) => value - this.before[n]);
    const parts = { z: this.z, dz: changed, k: this.z.subarray(0, placed), dk: changed.subarray(0, placed), a: this.trace, h: this.h };
    return Float64Array.from(["z", "dz", "k", "dk", "a", "h"].filter((name) => this.told.features.includes(name)).flatMap((name) => [...parts[name]]));
  }

  // What C's last layer says: logits, or means before the bounds.
  outputs() {
    let x = this.features();
    for (let n = 0; n < this.told.layers; n++) {
      x = this.linear(`controller.${n}`, x);
      if (n + 1 < this.told.layers) this.activate(x);
    }
    return x;
  }

  activate(x) {
    const { activation, layer_norm } = this.told.units;
    if (layer_norm) {
      const mean = x.reduce((a, b) => a + b, 0) / x.length;
      const variance = x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length;
      for (let n = 0; n < x.length; n++) x[n] = (x[n] - mean) / Math.sqrt(variance + 1e-5);
    }
    for (let n = 0; n < x.length; n++) x[n] = activation === "relu" ? Math.max(x[n], 0) : Math.tanh(x[n]);
  }

  // C's likeliest action: a number, or an array within the bounds.
  act() {
    const outputs = this.outputs(), { kind, size, low, high } = this.told.actions;
    if (kind === "discrete") return outputs.indexOf(Math.max(...outputs));
    return Array.from({ length: size }, (_, n) => Math.min(low[n] + ((Math.tanh(outputs[n]) + 1) * (high[n] - low[n])) / 2, high[n]));
  }

  shares() {
    const outputs = [...this.outputs()], most = Math.max(...outputs);
    const powers = outputs.map((value) => Math.exp(value - most)), sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((value) => value / sum);
  }

  // An action as M reads it.
  encode(action) {
    const { kind, size, low, high } = this.told.actions;
    if (kind === "discrete") return Array.from({ length: size }, (_, n) => (n === action ? 1 : 0));
    return action.map((value, n) => (2 * (value - low[n])) / (high[n] - low[n]) - 1);
  }

  // One step of M; noise is `{ uniforms, normals, end }`, drawn here if it is not given.
  step(action, temperature, noise) {
    if (this.over) return;
    const encoded = this.encode(action), Z = this.z.length, K = this.told.mixtures, R = this.h.length;
    const x = Float64Array.from([...this.z, ...encoded]);
    const gates = this.linear("lstm.inputs", x), hidden = this.linear("lstm.hidden", this.h);
    const sigmoid = (value) => 1 / (1 + Math.exp(-value));
    for (let n = 0; n < R; n++) {
      const [i, f, g, o] = [0, 1, 2, 3].map((gate) => gates[gate * R + n] + hidden[gate * R + n]);
      this.c[n] = sigmoid(f) * this.c[n] + sigmoid(i) * Math.tanh(g);
      hidden[n] = sigmoid(o) * Math.tanh(this.c[n]);
    }
    this.h = hidden.slice(0, R);
    const { dropout } = this.told;
    const read = dropout && !noise ? this.h.map((v) => (this.random() < dropout ? 0 : v / (1 - dropout))) : this.h;
    const heads = this.linear("heads", read), scales = this.tensors.scales.values, size = Z * K;
    const next = new Float64Array(Z);
    for (let z = 0; z < Z; z++) {
      const weights = Array.from({ length: K }, (_, k) => heads[z * K + k]);
      // Weights at the temperature: the softmax of log weights divided by it.
      const most = Math.max(...weights), powers = weights.map((w) => Math.exp((w - most) / temperature));
      const sum = powers.reduce((a, b) => a + b, 0);
      const uniform = noise ? noise.uniforms[z] : this.random();
      let chosen = 0, cumulated = 0;
      for (let k = 0; k + 1 < K; k++) {
        cumulated += powers[k] / sum;
        if (uniform >= cumulated) chosen = k + 1;
      }
      const mean = this.z[z] + scales[z] * heads[size + z * K + chosen];
      const raw = heads[2 * size + z * K + chosen];
      const log = Math.log(scales[z]) - 6 + Dream.softplus(raw + 6);
      next[z] = mean + Math.sqrt(temperature) * Math.exp(log) * (noise ? noise.normals[z] : this.normal());
    }
    this.reward = scales[Z] * heads[3 * size];
    this.ending = sigmoid(heads[3 * size + 1]);
    this.over = (noise ? noise.end : this.random()) < this.ending;
    this.score += this.reward;
    this.steps += 1;
    this.follow(action);
    this.before = this.z;
    this.z = next;
  }

  static softplus(x) {
    return x > 20 ? x : Math.log1p(Math.exp(x));
  }

  // What was done lately, as C may read it.
  follow(action) {
    if (!this.trace.length) return;
    const { meanings } = this.told.actions, vector = meanings.length ? meanings[action] : this.encode(action);
    this.told.spans.forEach((span, s) => vector.forEach((value, n) => {
      const at = s * vector.length + n;
      this.trace[at] += (value - this.trace[at]) / span;
    }));
  }

  // What V makes of z: `{ width, height, channels, values }` in [0, 1], rows first; a state if V sees those.
  draw(z = this.z) {
    const { vision } = this.told;
    if (vision.kind === "state") return { state: z.map((value, n) => value * vision.std[n] + vision.mean[n]) };
    let { maps, height, width, channels } = this.inner(z);
    for (let n = 0; n < vision.up; n++) {
      maps = this.transposed(`up.${n}`, maps, channels, height, width);
      channels = this.tensors[`up.${n}.bias`].values.length;
      height *= 2;
      width *= 2;
    }
    const blocks = this.pointwise("up.last", maps, channels, height * width);
    if (this.told.key_points) this.addPlaces(blocks, z, height, width);
    return this.unfolded(blocks, height, width);
  }

  inner(z) {
    const [channels, height, width] = this.told.vision.map_shape;
    const maps = this.linear("from_latent", z);
    for (let n = 0; n < maps.length; n++) maps[n] = Math.max(maps[n], 0);
    return { maps, channels, height, width };
  }

  // Transposed convolution of 4 x 4, stride 2, padding 1, then max(0, x).
  transposed(name, maps, inputs, height, width) {
    const weight = this.tensors[`${name}.weight`].values, bias = this.tensors[`${name}.bias`].values;
    const outputs = bias.length, H = 2 * height, W = 2 * width, out = new Float64Array(outputs * H * W);
    for (let o = 0; o < outputs; o++) out.fill(bias[o], o * H * W, (o + 1) * H * W);
    for (let i = 0; i < inputs; i++) for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const value = maps[(i * height + y) * width + x];
      if (value === 0) continue;
      for (let o = 0; o < outputs; o++) {
        const kernel = (i * outputs + o) * 16, plane = o * H * W;
        for (let ky = 0; ky < 4; ky++) {
          const oy = 2 * y + ky - 1;
          if (oy < 0 || oy >= H) continue;
          const row = plane + oy * W, k = kernel + 4 * ky;
          for (let kx = 0; kx < 4; kx++) {
            const ox = 2 * x + kx - 1;
            if (ox >= 0 && ox < W) out[row + ox] += value * weight[k + kx];
          }
        }
      }
    }
    for (let n = 0; n < out.length; n++) if (out[n] < 0) out[n] = 0;
    return out;
  }

  // Convolution of 1 x 1.
  pointwise(name, maps, inputs, size) {
    const weight = this.tensors[`${name}.weight`].values, bias = this.tensors[`${name}.bias`].values;
    const out = new Float64Array(bias.length * size);
    for (let o = 0; o < bias.length; o++) {
      out.fill(bias[o], o * size, (o + 1) * size);
      for (let i = 0; i < inputs; i++) {
        const w = weight[o * inputs + i];
        for (let n = 0; n < size; n++) out[o * size + n] += w * maps[i * size + n];
      }
    }
    return out;
  }

  // What key points add: each a Gaussian of a pixel, folded, through two convolutions.
  addPlaces(blocks, z, height, width) {
    const K = this.told.key_points, W = 4 * width, H = 4 * height;
    const maps = new Float64Array(16 * K * height * width), size = height * width;
    for (let k = 0; k < K; k++) {
      const px = (z[2 * k] * W) / 4 + (W - 1) / 2, py = (z[2 * k + 1] * H) / 4 + (H - 1) / 2;
      for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) {
        const value = Math.exp(-0.5 * ((px - x) ** 2 + (py - y) ** 2));
        const channel = k * 16 + (y % 4) * 4 + (x % 4);
        maps[channel * size + (y >> 2) * width + (x >> 2)] = value;
      }
    }
    const drawn = this.around("places.drawn", maps, 16 * K, height, width);
    const added = this.pointwise("places.added", drawn, drawn.length / size, size);
    for (let n = 0; n < blocks.length; n++) blocks[n] += added[n];
  }

  // Convolution of 3 x 3, padding 1, then max(0, x).
  around(name, maps, inputs, height, width) {
    const weight = this.tensors[`${name}.weight`].values, bias = this.tensors[`${name}.bias`].values;
    const outputs = bias.length, size = height * width, out = new Float64Array(outputs * size);
    for (let o = 0; o < outputs; o++) out.fill(bias[o], o * size, (o + 1) * size);
    for (let i = 0; i < inputs; i++) for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const value = maps[i * size + y * width + x];
      if (Math.abs(value) < 1e-12) continue;
      for (let o = 0; o < outputs; o++) for (let ky = 0; ky < 3; ky++) {
        const oy = y - ky + 1;
        if (oy < 0 || oy >= height) continue;
        for (let kx = 0; kx < 3; kx++) {
          const ox = x - kx + 1;
          if (ox >= 0 && ox < width) out[o * size + oy * width + ox] += value * weight[((o * inputs + i) * 3 + ky) * 3 + kx];
        }
      }
    }
    for (let n = 0; n < out.length; n++) if (out[n] < 0) out[n] = 0;
    return out;
  }

  // Blocks of 4 x 4 pixels laid out, the mean frame put back, and the sigmoid.
  unfolded(blocks, height, width) {
    const { channels } = this.told.vision, mean = this.tensors.mean_frame.values;
    const H = 4 * height, W = 4 * width, values = new Float64Array(H * W * channels);
    for (let c = 0; c < channels; c++) for (let y = 0; y < H; y++) for (let x = 0; x < W; x++) {
      const block = c * 16 + (y % 4) * 4 + (x % 4);
      const usual = Math.min(Math.max(mean[(c * H + y) * W + x], 0.02), 0.98);
      const logit = blocks[(block * height + (y >> 2)) * width + (x >> 2)] + Math.log(usual / (1 - usual));
      values[(y * W + x) * channels + c] = 1 / (1 + Math.exp(-logit));
    }
    return { width: W, height: H, channels, values };
  }
}
