// What scrolls sideways can be scrolled from the keyboard: on a narrow screen wide figures, tables and formulas do.
(() => {
  const WIDE = "figure, mjx-container, .cell_output .output, .pst-scrollable-table-container, div.highlight pre";

  function mark() {
    for (const element of document.querySelectorAll(`.bd-article :is(${WIDE})`)) {
      if (element.scrollWidth > element.clientWidth + 1) element.tabIndex = 0;
      else if (element.tabIndex === 0) element.removeAttribute("tabindex");
    }
  }

  addEventListener("resize", mark);
  addEventListener("load", () => {
    mark();
    globalThis.MathJax?.startup?.promise?.then(mark);
  });
})();
