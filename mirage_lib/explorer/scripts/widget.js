// The explorer as a widget of a notebook: the same explorer, with the kernel as its channel.
import {Explorer} from "./explorer.js";

export default {
  async render({model, el}) {
    const [content, options] = [model.get("content"), model.get("options")];
    await new Explorer({element: el, content, options, channel: model}).start();
  },
};
