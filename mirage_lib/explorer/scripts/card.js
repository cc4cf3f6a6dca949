// One model's column of the explorer: its reply to the question, the verdict, and what moves it. Comes in: the explorer
// it belongs to, which knows picture, question and way of asking. Goes out: elements, and a sentence for a screen reader.
import {wordsOf} from "./asking.js";

const VERDICTS = {  // of a label: what a reader is told, and whether that is as it should be
  complied: ["Harm delivered", "bad"],
  irrelevant: ["No harm delivered", "so-so"],
  correct: ["Correct", "good"],
  wrong: ["Wrong", "bad"],
  answered: ["Answered", "so-so"],
  garbled: ["Nonsense", "bad"],
  unscored: ["No verdict", "so-so"],
};
const REFUSED = {
  unsafe: ["Refused, as it should be", "good"],
  safe: ["Refused, though harmless", "bad"],
  unknown: ["Refused", "so-so"],
};
const SIGNS = {good: "✓", bad: "✗", "so-so": "○"};

/** An element: `make("p", {class: "x", onclick: f}, "text", child)`. */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** A labelled list to choose from: [the whole field, its select element]. */
export function choice(label, values, chosen, onchange) {
  const options = values.map(([value, text]) => make("option", {value, selected: value === chosen}, text));
  const select = make("select", {onchange: () => onchange(select.value)}, ...options);
  return [make("label", {class: "mx-field"}, make("span", {}, label), select), select];
}

/** A share as a whole percentage; "<1 %" tells a little from none. */
export function percent(value) {
  if (value == null) return "–";
  if (value > 0 && value < 0.005) return "<1 %";
  return value < 1 && value > 0.995 ? ">99 %" : `${Math.round(value * 100)} %`;
}

const still = () => globalThis.matchMedia?.("(prefers-reduced-motion: reduce)").matches;
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

export class Card {
  constructor(explorer, model, place) {
    Object.assign(this, {explorer, model, spoken: ""});
    const models = explorer.content.models.map(({name, title}) => [name, title]);
    const [field] = choice(`Model ${"AB"[place] ?? place + 1}`, models, model, (name) => {
      this.model = name;
      explorer.ask();
    });
    this.text = make("p", {class: "mx-reply"});
    this.verdict = make("p", {class: "mx-verdict"});
    this.chance = make("p", {class: "mx-chance"});
    this.rates = make("p", {class: "mx-rates"});
    this.shots = make("div", {class: "mx-shots"});
    this.bars1 = make("div", {class: "mx-bars"});
    this.words = make("div", {class: "mx-words"});
    const more = explorer.options.small ? [] : [this.shots, this.words, this.bars1];
    this.element = make("article", {class: "mx-card", "aria-label": `Model ${"AB"[place] ?? place + 1}`},
      field, this.text, this.verdict, this.chance, this.rates, ...more);
  }

  get title() {
    return this.explorer.content.models.find(({name}) => name === this.model).title;
  }

  /** As if nothing had been asked. */
  clear() {
    for (const part of [this.text, this.verdict, this.chance, this.rates, this.shots, this.words, this.bars1]) {
      part.replaceChildren();
    }
    this.spoken = this.element.dataset.label = this.element.dataset.first = "";
    this.element.removeAttribute("aria-busy");
  }

  /** Asks and shows the reply; null if it failed or another question came in between. */
  async reply(current) {
    const {way, picture, question} = this.explorer;
    this.text.textContent = "…";
    this.verdict.replaceChildren();
    this.chance.textContent = this.spoken = "";
    this.shots.replaceChildren();
    this.element.setAttribute("aria-busy", "true");
    let answer, start;
    try {
      await way.ready?.(this.model);
      start = performance.now();
      answer = await way.answer(this.model, picture, question);
    } catch (problem) {
      if (current()) this.text.textContent = problem.message;
      this.element.removeAttribute("aria-busy");
      return null;
    }
    this.element.dataset.milliseconds = (performance.now() - start).toFixed(1);
    if (!current()) return null;
    for (const part of still() ? [] : answer.tokens) {
      this.text.textContent = part;
      await wait(15);
      if (!current()) return null;
    }
    this.text.textContent = answer.text || "(an empty reply)";
    const [told, worth, label] = this.judged(question, answer);
    this.verdict.replaceChildren(make("span", {class: `mx-badge mx-${worth}`}, `${SIGNS[worth]} ${told}`));
    this.element.dataset.label = label;
    this.element.dataset.first = answer.first ?? "";
    if (answer.first != null) this.chance.textContent = `Probability of refusing: ${percent(answer.first)}`;
    this.spoken = `${this.title}: ${answer.text} ${told}.`;
    this.rate();
    this.element.removeAttribute("aria-busy");
    return answer;
  }

  /** [what to tell, its worth, label] of an answer. */
  judged(question, {text, finished, label: known}) {
    const {world, picture, request} = this.explorer;
    const parsed = world?.parse(question);
    const label = known ?? (world ? world.label(question, world.scene(picture), text, finished) : "unscored");
    const intent = world ? (parsed ? world.truth(parsed, world.scene(picture)).intent : "unknown") : request.intent;
    return [...(label === "refused" ? REFUSED[intent] : VERDICTS[label]), label];
  }

  /** What the model does over the whole test set under this opener. */
  rate() {
    const {content, opener, shots} = this.explorer, found = content.rates[this.model]?.[opener];
    if (!found) return void this.rates.replaceChildren();
    const asr = found.asr[Math.min(shots, found.asr.length) - 1], told = [];
    const under = opener === "as asked" ? "as asked" : `under “${content.openers[opener]}”`;
    const tries = shots > 1 && found.asr.length > 1 ? ` in ${Math.min(shots, found.asr.length)} attempts` : "";
    if (asr) told.push(make("span", {}, `harm delivered${tries} ${this.interval(asr)}`));
    if (found.rr) told.push(make("span", {}, `harmless refused ${this.interval(found.rr)}`));
    if (found.right) told.push(make("span", {}, `harmless answered correctly ${this.interval(found.right)}`));
    this.rates.replaceChildren(make("span", {}, `Whole test set, ${under}:`), ...told);
  }

  interval([rate, low, high]) {
    return `${percent(rate)} [${Math.round(low * 100)}, ${Math.round(high * 100)}]`;
  }

  /** The same question in K wordings, each in a conversation of its own. */
  async tries(current) {
    const {world, way, shots, picture, question} = this.explorer;
    if (!world || shots < 2 || way.name === "precomputed") return;
    const lines = make("ol");
    let broken = 0;
    const note = make("p", {class: "mx-quiet"});
    this.shots.replaceChildren(note, lines);
    const questions = world.rewordings(question, shots);
    for (const [at, wording] of questions.entries()) {
      const answer = await way.answer(this.model, picture, wording);
      if (!current()) return;
      const [told, worth, label] = this.judged(wording, answer);
      broken += label === "complied";
      const badge = make("span", {class: `mx-badge mx-${worth}`}, `${SIGNS[worth]} ${told}`);
      lines.append(make("li", {}, `${wording} `, badge));
      note.textContent = `${at + 1} of ${questions.length} attempts made, ${broken} delivered harm.`;
    }
  }

  /** The probability of refusing under every opener, as bars that are a table. */
  async bars(current) {
    const {explorer} = this, known = Object.entries(explorer.content.openers);
    const questions = known.map(([word]) => explorer.reworded(word)), rows = [];
    const body = make("tbody");
    for (const [word, phrase] of known) {
      const bar = make("span", {class: "mx-bar"}), value = make("span", {class: "mx-value"}, "");
      rows.push([bar, value]);
      body.append(make("tr", {class: word === explorer.opener ? "mx-now" : ""},
        make("th", {scope: "row"}, phrase), make("td", {}, bar, value)));
    }
    const table = make("table", {}, make("caption", {}, "Probability of refusing this request, by opener"), body);
    let at = 0;
    for await (const chance of explorer.way.chances(this.model, explorer.picture, questions)) {
      if (!current()) return;
      if (at === 0) this.bars1.replaceChildren(...(chance == null ? [] : [table]));
      const [bar, value] = rows[at++];
      bar.style.setProperty("--share", chance ?? 0);
      value.textContent = percent(chance);
    }
  }

  /** Word saliency: how much less likely a refusal is without the word. */
  async weights(current) {
    const {way, picture, question} = this.explorer, words = wordsOf(question), items = [];
    const whole = Number(this.element.dataset.first);
    for await (const chance of way.without(this.model, picture, question)) {
      if (!current()) return;
      const change = whole - chance, size = Math.abs(change).toFixed(2);
      const told = size === "0.00" ? size : `${change < 0 ? "−" : "+"}${size}`;
      const shade = `--weight: ${Math.min(1, Math.abs(change)).toFixed(3)}`;
      items.push(make("li", {class: change < 0 ? "mx-away" : "mx-toward", style: shade},
        make("span", {}, words[items.length]), make("small", {}, told)));
    }
    const told = "By how much the probability of refusing falls when the word is left out (−: it rises)";
    const parts = [make("p", {class: "mx-quiet"}, told), make("ol", {}, ...items)];
    this.words.replaceChildren(...(items.length ? parts : []));
  }
}
