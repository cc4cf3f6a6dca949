// Puts the explorers of a page to work where there is no kernel. The page's own files lie beside this script: the
// content, and one file for each model, loaded when it is chosen. They are scripts, because a page opened as a file may
// not fetch.
import {Explorer} from "./explorer.js";

const folder = new URL(".", document.currentScript.src).href;
const loading = new Map();

/** What a script file of this folder leaves in `mirage[name]`. */
function fetched(name) {
  if (!loading.has(name)) {
    loading.set(name, new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = `${folder}${name}.js`;
      script.onload = () => done(globalThis.mirage[name]);
      script.onerror = () => {
        loading.delete(name);
        fail(new Error(`This page lacks the file ${name}.js: build the book again.`));
      };
      document.head.append(script);
    }));
  }
  return loading.get(name);
}

async function begin() {
  const places = [...document.querySelectorAll("[data-mirage-explorer]")];
  if (!places.length) return;
  const content = await fetched("content");
  for (const element of places) {
    const options = JSON.parse(element.dataset.mirageExplorer);
    const has = (name) => content.models.some((model) => model.name === name);
    const models = options.models.filter(has);
    await new Explorer({element, content, options: {...options, models}, fetched}).start();
    element.dataset.ready = "true";
  }
}

if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin);
else begin();
