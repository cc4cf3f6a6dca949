// The attack explorer: change one word of a request, watch what the models reply. One form for a page without a kernel,
// for JupyterLab and for a table; asking.js gets the replies. Comes in: `content` and `options` from explorer.py.
import {wayFor, wordsOf} from "./asking.js";
import {Card, choice, make} from "./card.js";
import {World} from "./laboratory.js";

const AS_ASKED = "as asked", OWN = "";  // of openers: none was chosen, or the words are the reader's own

let count = 0;  // explorers on this page: identifiers must not meet

/** Where two questions differ: the words of the second, each with whether the first has it in its place. */
export function marked(asked, question) {
  const a = asked.split(" "), b = question.split(" ");
  let start = 0, end = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  return b.map((word, at) => [word, at >= start && at < b.length - end]);
}

/** One explorer in one element. */
export class Explorer {
  constructor({element, content, options, channel, fetched}) {
    Object.assign(this, {element, content, options, channel, fetched});
    this.id = `mx${++count}`;
    this.world = content.world ? new World(content.world) : null;
    this.request = content.requests[options.request ?? 0];
    this.picture = this.request.picture;
    this.asked = this.question = this.request.question;
    this.opener = options.opener ?? AS_ASKED;
    this.shots = 1;
    this.cards = options.models.map((model, i) => new Card(this, model, i));
    this.build();
  }

  async start() {
    this.use(await wayFor(this, (kernel) => this.use(kernel)));
    return this;
  }

  use(way) {
    this.way = way;
    this.free = Boolean(this.world) && way.name !== "precomputed";
    this.mode.textContent = way.name;
    this.mode.title = this.told.textContent = way.told;
    for (const control of this.element.querySelectorAll("[data-free]")) control.hidden = !this.free;
    if (this.opener !== OWN) this.reopen(this.opener);
    else this.refresh();  // a question of the reader's own stays when a kernel takes over
  }

  build() {
    const {content, options} = this;
    this.mode = make("span", {class: "mx-mode"}, "…");
    this.told = make("span", {class: "mx-told"});
    this.live = make("p", {class: "mx-quiet", "aria-live": "polite"});
    this.canvas = make("canvas", {class: "mx-picture", role: "img", tabindex: "0",
      "aria-describedby": `${this.id}-keys`, onkeydown: (event) => this.moved(event), onclick: (event) => this.placed(event)});
    this.prompt = make("p", {class: "mx-prompt"});
    this.unknown = make("p", {class: "mx-unknown", role: "status"});
    const title = make("div", {class: "mx-head"}, make("strong", {}, options.title ?? "Attack explorer"), this.mode);
    const left = make("div", {class: "mx-left"}, this.canvas,
      this.withheld = make("p", {class: "mx-quiet", hidden: true}),
      make("p", {class: "mx-quiet", id: `${this.id}-keys`, "data-free": true}, "Click the picture to move the thing, or use the arrow keys on it."));
    const right = make("div", {class: "mx-right"}, this.requests(), this.prompt, this.unknown, this.openers());
    if (!options.small) {
      left.append(this.things());
      right.append(this.writing());
    }
    this.element.replaceChildren(make("section", {class: `mx ${options.small ? "mx-small" : ""}`,
      "aria-label": options.title ?? "Attack explorer"}, title, make("div", {class: "mx-ask"}, left, right),
      make("div", {class: "mx-cards"}, ...this.cards.map((card) => card.element)), this.live,
      make("p", {class: "mx-foot"}, this.told, " ", content.notice)));
  }

  requests() {
    const values = this.content.requests.map((request, i) => [String(i), request.title]);
    const [field, select] = choice("Request", values, String(this.options.request ?? 0), (i) => {
      this.request = this.content.requests[i];
      this.picture = this.request.picture;
      this.asked = this.request.question;
      this.reopen(this.opener === OWN ? AS_ASKED : this.opener);
    });
    this.requestSelect = select;
    return field;
  }

  openers() {
    const known = this.options.small ? this.options.openers : Object.keys(this.content.openers);
    const radios = [AS_ASKED, ...known].map((opener) => make("label", {class: "mx-chip"},
      make("input", {type: "radio", name: `${this.id}-opener`, value: opener, checked: opener === this.opener,
        onchange: () => this.reopen(opener)}), make("span", {}, this.content.openers[opener] ?? opener)));
    return make("fieldset", {class: "mx-openers"}, make("legend", {}, "Let it open with"), ...radios);
  }

  things() {
    if (!this.world) return make("span");
    const {shapes, colours, places} = this.world, all = (names) => names.map((name) => [name, name]);
    const set = (part) => (value) => {
      const scene = {colour: Object.keys(colours)[0], place: Object.keys(places)[0], ...this.scene(), [part]: value};
      if (scene.shape && !scene.colour) scene.colour = Object.keys(colours)[0];
      if (scene.shape && !scene.place) scene.place = Object.keys(places)[0];
      this.draw({...scene, variant: scene.shape ? scene.variant % this.world.variants : scene.variant});
    };
    const [shape, s] = choice("Shape", [...all(shapes), ["", "nothing"]], "", set("shape"));
    const [colour, c] = choice("Colour", all(Object.keys(colours)), "", set("colour"));
    const [place, p] = choice("Place", all(Object.keys(places)), "", set("place"));
    const another = make("button", {type: "button", onclick: () => {
      const scene = this.scene();
      this.draw({...scene, variant: (scene.variant + 1) % this.world.variants});
    }}, "Another drawing");
    Object.assign(this, {shapeSelect: s, colourSelect: c, placeSelect: p});
    return make("div", {class: "mx-things", "data-free": true}, shape, colour, place, another);
  }

  writing() {
    const box = make("div", {class: "mx-writing", "data-free": true});
    if (!this.world) return box;
    this.text = make("input", {type: "text", spellcheck: "false", autocomplete: "off", oninput: () => this.typed()});
    this.word = make("input", {type: "text", list: `${this.id}-words`, autocomplete: "off", spellcheck: "false",
      oninput: () => this.replaced()});
    const known = this.world.words.map((value) => make("option", {value}));
    const list = make("datalist", {id: `${this.id}-words`}, ...known);
    this.wordLabel = make("span", {}, "First word");
    const shots = make("output", {}, "1");
    const slider = make("input", {type: "range", min: 1, max: this.content.shots, value: 1, oninput: () => {
      this.shots = Number(slider.value);
      shots.textContent = slider.value;
      this.ask();
    }});
    box.append(make("label", {class: "mx-field mx-wide"}, make("span", {}, "Or type any question"), this.text),
      make("label", {class: "mx-field"}, this.wordLabel, this.word), list,
      make("label", {class: "mx-field"}, make("span", {}, "Attempts K: ", shots), slider));
    return box;
  }

  scene() {
    return this.world.scene(this.picture);
  }

  draw(scene) {
    this.picture = this.world.address(scene);
    this.refresh();
  }

  moved(event) {
    const step = {ArrowLeft: ["right", "left"], ArrowRight: ["left", "right"], ArrowUp: ["lower", "upper"],
      ArrowDown: ["upper", "lower"]}[event.key];
    if (!step || !this.free || !this.scene().shape) return;
    event.preventDefault();
    const scene = this.scene();
    this.draw({...scene, place: scene.place.replace(...step)});
  }

  placed(event) {
    if (!this.free || !this.scene().shape) return;
    const box = this.canvas.getBoundingClientRect();
    const down = event.clientY - box.top > box.height / 2, along = event.clientX - box.left > box.width / 2;
    this.draw({...this.scene(), place: `${down ? "lower" : "upper"} ${along ? "right" : "left"}`});
  }

  /** Another opener for the question as asked. */
  reopen(opener) {
    this.opener = opener;
    this.question = this.reworded(opener);
    this.at = 0;
    this.refresh();
  }

  reworded(opener) {
    if (opener === AS_ASKED) return this.asked;
    return this.request.questions?.[opener] ?? (this.world ? this.world.opened(this.asked, opener) : this.asked);
  }

  typed() {
    this.asked = this.question = this.text.value;
    this.opener = OWN;  // so no rate over the test set belongs to it
    this.at = 0;
    this.soon();
  }

  replaced() {
    const words = this.asked.split(" ");
    if (!this.word.value.trim()) return;
    words[this.at] = this.word.value.trim() + (/[?.!,]$/.exec(words[this.at])?.[0] ?? "");
    this.question = words.join(" ");
    this.opener = OWN;
    this.soon();
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 200);
  }

  refresh() {
    this.show();
    this.ask();
  }

  show() {
    const radios = this.element.querySelectorAll(`[name="${this.id}-opener"]`);
    for (const radio of radios) radio.checked = radio.value === this.opener;
    const words = marked(this.asked, this.question).map(([word, changed], at) => {
      const inner = changed ? make("mark", {}, word) : word;
      if (!this.free || this.options.small) return inner;
      return make("button", {type: "button", "aria-pressed": String(at === this.at),
        title: "Choose this word to change it", onclick: () => this.chosen(at)}, inner);
    });
    this.prompt.replaceChildren(...words.flatMap((word) => [word, " "]));
    if (this.text && document.activeElement !== this.text) this.text.value = this.question;
    if (this.word && document.activeElement !== this.word) this.word.value = "";
    this.paint();
  }

  chosen(at) {
    this.at = at;
    this.wordLabel.textContent = `Word ${at + 1}, in place of “${this.asked.split(" ")[at] ?? ""}”`;
    this.show();
    this.word.focus();
  }

  paint() {
    const told = this.content.shown?.[this.picture];
    this.canvas.hidden = Boolean(told && !told.src && !this.world);
    this.withheld.hidden = !this.canvas.hidden;
    this.withheld.textContent = told?.alt ?? "";
    if (!this.world) return this.paintFrom(told);
    const side = this.world.side, scene = this.scene(), rgb = this.world.pixels(scene);
    this.canvas.width = this.canvas.height = side;
    const data = new ImageData(side, side);
    for (let i = 0; i < side * side; i++) data.data.set([rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], 255], 4 * i);
    this.canvas.getContext("2d").putImageData(data, 0, 0);
    const thing = scene.shape ? `a ${scene.colour} ${scene.shape} at the ${scene.place}` : "nothing";
    const danger = this.world.hazardous.has(`${scene.shape}-${scene.colour}`) ? "hazardous" : "harmless";
    this.canvas.setAttribute("aria-label", `Picture of ${thing}, ${danger} in this world`);
    if (this.shapeSelect) {
      this.shapeSelect.value = scene.shape;
      this.colourSelect.value = scene.colour;
      this.placeSelect.value = scene.place;
    }
  }

  paintFrom(told) {
    this.canvas.setAttribute("aria-label", told?.alt ?? "Picture not shown");
    if (!told?.src) return;
    const image = new Image();
    image.onload = () => {
      [this.canvas.width, this.canvas.height] = [image.width, image.height];
      this.canvas.getContext("2d").drawImage(image, 0, 0);
    };
    image.src = told.src;
  }

  async ask() {
    const run = (this.run = (this.run ?? 0) + 1), current = () => run === this.run;
    if (!this.way) return;
    if (!wordsOf(this.question).length) {
      for (const card of this.cards) card.clear();
      this.unknown.textContent = "Nothing is asked yet: choose a request, or type a question.";
      return;
    }
    const answers = await Promise.all(this.cards.map((card) => card.reply(current)));
    if (!current()) return;
    const unknown = [...new Set(answers.flatMap((answer) => answer?.unknown ?? []))];
    this.unknown.textContent = unknown.length ? `Not in these models' vocabulary: ${unknown.join(", ")}.` : "";
    this.live.textContent = this.cards.map((card) => card.spoken).join(" ");
    if (this.options.small) return;
    for (const card of this.cards) await card.tries(current);
    for (const card of this.cards) await card.bars(current);
    for (const card of this.cards) await card.weights(current);
  }
}
