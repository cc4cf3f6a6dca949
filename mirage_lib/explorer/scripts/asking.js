// The three ways an explorer gets its replies, with one form: the model run in this page, a kernel that runs it, or a
// table of replies made before. Each has `answer(model, picture, question)` -> {text, tokens, finished, first, unknown},
// where `first` is the probability that the reply opens with a refusal (null where it is not known), `chances(model,
// picture, questions)`, which yields that of each, and `without(model, picture, question)`, which yields it with one
// word of the question left out after the other.
import {VLM} from "./vlm.js";
import {World} from "./laboratory.js";

const pause = () => new Promise((done) => setTimeout(done, 0));

const WORD = /[\p{L}\p{M}\p{N}_]+/gu;  // as the models' tokenizer cuts words

/** The words of a question, without its signs. */
export function wordsOf(question) {
  return question.match(WORD) ?? [];
}

/** The question with one of its words left out, once for each. */
function shortened(question) {
  return wordsOf(question).map((_, at) => {
    let number = 0;
    return question.replace(WORD, (word) => (number++ === at ? "" : word)).replace(/\s+/g, " ").trim();
  });
}

/** The model runs here. `fetched(name)` resolves to {manifest, data} of a model, data as text. */
export class InPage {
  name = "in the page";
  told = "The models run in this page, in your browser. Nothing is sent anywhere.";

  constructor(content, fetched) {
    this.content = content;
    this.fetched = fetched;
    this.world = new World(content.world);
    this.models = new Map();
    this.seen = new Map();
  }

  async model(name) {
    if (!this.models.has(name)) {
      this.models.set(name, Promise.all([this.fetched(name), this.fetched("shared")]).then(([own, shared]) => {
        return new VLM(own.manifest, {own: bytes(own.data), shared: bytes(shared.data)});
      }));
      this.models.get(name).catch(() => this.models.delete(name));  // the next try loads again
    }
    return this.models.get(name);
  }

  /** Loads a model before it is asked. */
  async ready(name) {
    await this.model(name);
  }

  image(vlm, name, picture) {
    const key = `${name} ${picture}`;
    if (!this.seen.has(key)) {
      if (this.seen.size > 64) this.seen.clear();
      this.seen.set(key, vlm.see(this.world.pixels(this.world.scene(picture))));
    }
    return this.seen.get(key);
  }

  async answer(name, picture, question) {
    const vlm = await this.model(name), {ids, unknown} = vlm.tokens(question), said = [];
    let first = 0, finished = false;
    for (const {token, chances} of vlm.reply(this.image(vlm, name, picture), ids, this.content.most)) {
      if (chances) first = chances[vlm.number.get(this.content.refuses)];
      finished = token === vlm.manifest.end;
      if (!finished) said.push(token);
    }
    return {text: vlm.text(said), tokens: said.map((_, i) => vlm.text(said.slice(0, i + 1))), finished, first, unknown};
  }

  async *chances(name, picture, questions) {
    const vlm = await this.model(name);
    for (const question of questions) {
      await pause();
      const {ids} = vlm.tokens(question), [{chances}] = vlm.reply(this.image(vlm, name, picture), ids, 1);
      yield chances[vlm.number.get(this.content.refuses)];
    }
  }

  without(model, picture, question) {
    return this.chances(model, picture, shortened(question));
  }
}

/** The bytes of a text in base64. */
export function bytes(text) {
  const letters = atob(text), found = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) found[i] = letters.charCodeAt(i);
  return found.buffer;
}

/** A kernel runs the model: questions go over the widget's channel, and each answer carries its question's number. */
export class Kernel {
  name = "live kernel";
  told = "A live kernel answers: the models run in Python, as they are.";

  constructor(channel) {
    this.channel = channel;
    this.waiting = new Map();
    this.number = 0;
    channel.on("msg:custom", (message) => {
      const wait = this.waiting.get(message.id);
      if (!wait) return;
      this.waiting.delete(message.id);
      if (message.error) wait.fail(new Error(message.error));
      else wait.done(message);
    });
  }

  ask(message) {
    const id = ++this.number;
    return new Promise((done, fail) => {
      this.waiting.set(id, {done, fail});
      this.channel.send({...message, id});
    });
  }

  async answer(model, picture, question) {
    const {text, finished, first, unknown} = await this.ask({type: "answer", model, picture, question});
    return {text, tokens: parts(text), finished, first, unknown};
  }

  async *chances(model, picture, questions) {
    yield* (await this.ask({type: "chances", model, picture, questions})).chances;
  }

  without(model, picture, question) {
    return this.chances(model, picture, shortened(question));
  }
}

/** What was asked beforehand. */
export class Table {
  name = "precomputed";
  told = "Replies come from a table made with the book: choose among its requests and openers.";

  constructor(content) {
    this.cells = new Map();
    const {rows, texts, questions} = content.table;
    for (const [model, picture, question, text, finished, first, without, label] of rows) {
      const cell = {text: texts[text], tokens: parts(texts[text]), finished: Boolean(finished), first, without, label};
      this.cells.set(`${content.models[model].name}|${content.pictures[picture]}|${questions[question]}`, cell);
    }
  }

  async answer(model, picture, question) {
    const cell = this.cells.get(`${model}|${picture}|${question}`);
    if (!cell) throw new Error("This question is not in the table.");
    return {...cell, unknown: []};
  }

  async *chances(model, picture, questions) {
    for (const question of questions) yield this.cells.get(`${model}|${picture}|${question}`)?.first ?? null;
  }

  async *without(model, picture, question) {
    yield* this.cells.get(`${model}|${picture}|${question}`)?.without ?? [];
  }
}

/** The beginnings of a text, a word longer each. */
function parts(text) {
  const words = text.split(" ");
  return words.map((_, i) => words.slice(0, i + 1).join(" "));
}

/** The way to use: a kernel if one answers within `patience` milliseconds, else in the page, else the table. */
export async function wayFor({content, channel, fetched, patience = 1500}, later) {
  const other = () => (fetched && content.world ? new InPage(content, fetched) : new Table(content));
  if (!channel) return other();
  const kernel = new Kernel(channel);
  let late = false;
  const answered = kernel.ask({type: "ping"}).then(() => {
    if (late) later(kernel);  // it was busy: take over now
    return kernel;
  }, other);  // it declines: its models are too slow to be asked
  return Promise.race([answered, new Promise((done) => {
    setTimeout(() => {
      late = true;
      done(other());
    }, patience);
  })]);
}
