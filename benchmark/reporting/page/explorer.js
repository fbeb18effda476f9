// The table of nets: sort it, filter it, compare two nets. What is chosen is in the address
// after #, so that it can be linked.

/** Read what is chosen from the address: #annealed.sort=test&annealed.open=res,depth */
const stateInAddress = () =>
  new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

// Links to sections replace the address, but not what is chosen.
let chosen = stateInAddress();

/** Keep a choice in the address; remove it if it is empty. */
function keepInAddress(key, value) {
  if (value) chosen.set(key, value);
  else chosen.delete(key);
  const kept = chosen.toString().replaceAll("%2C", ",");
  try {
    history.replaceState(null, "", kept ? `#${kept}` : location.pathname + location.search);
  } catch {
    // Some previews forbid it; the page works without.
  }
}

/** Count how often only one of two nets is right, for the same seeds and images. */
function pairedCount(one, other) {
  let onlyOne = 0;
  let onlyOther = 0;
  let answers = 0;
  one.correct.forEach((part, p) =>
    part.forEach((isCorrect, i) => {
      onlyOne += isCorrect > other.correct[p][i];
      onlyOther += isCorrect < other.correct[p][i];
      answers++;
    }),
  );
  return { onlyOne, onlyOther, answers };
}

function formatCount(one, other) {
  const { onlyOne, onlyOther, answers } = pairedCount(one, other);
  const [total, first, second] = [answers, onlyOne, onlyOther].map((n) => n.toLocaleString("en"));
  return `Of ${total} answers, ${one.name} is right and ${other.name} wrong in ${first}, and ${other.name} right and ${one.name} wrong in ${second}.`;
}

/** Make the table of one recipe sortable, and add its form. */
function explorer(root) {
  const table = root.querySelector("table");
  const nets = [...table.tBodies];
  const headers = [...table.tHead.rows[0].cells];
  const family = DATA.families.find((each) => each.key === root.dataset.family);
  const key = (name) => `${root.dataset.family}.${name}`;

  const valueIn = (net, column) => net.rows[0].cells[column].dataset.value;
  function sort(column, descending) {
    const isText = column === 0;
    const compare = (a, b) => {
      const [x, y] = [valueIn(a, column), valueIn(b, column)];
      return isText ? x.localeCompare(y) : x - y;
    };
    nets.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
    table.append(...nets);
    headers.forEach((header, i) => {
      if (i === column) header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    });
  }
  const labels = headers.map((header) => header.textContent);
  headers.forEach((header, column) => {
    const button = element("button", { type: "button" }, labels[column]);
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      // Numbers start with the largest, names with a.
      const descending = now ? now === "ascending" : column > 0;
      sort(column, descending);
      keepInAddress(key("sort"), `${descending ? "-" : ""}${labels[column]}`);
    });
    header.replaceChildren(button);
  });

  const choice = (first, options) =>
    element("select", {}, element("option", { value: "" }, first), ...options.map((name) => element("option", {}, name)));
  const judged = nets.filter((net) => net.dataset.tied !== undefined);
  const tied = choice("(show all)", judged.map((net) => net.dataset.net));
  // The counts in the page are for the baseline, if there is one.
  const comparable = family ? family.nets.map((net) => net.name) : [];
  const usual = comparable.includes(BASELINE) ? BASELINE : comparable[0];
  const other = choice(usual, comparable.filter((name) => name !== usual));
  const form = element("fieldset", {}, element("legend", {}, "Choose"));
  if (judged.length) form.append(element("label", {}, "only nets tied with", tied));
  if (family) form.append(element("label", {}, "compare each opened net with", other));
  const status = element("p", { role: "status", class: "quiet" });

  function filter() {
    for (const net of nets) {
      const isTied = net.dataset.net === tied.value || net.dataset.tied?.split(",").includes(tied.value);
      net.hidden = tied.value !== "" && !isTied;
    }
    const shown = nets.filter((net) => !net.hidden).length;
    status.textContent = tied.value
      ? `${shown} of ${nets.length} nets: ${tied.value}, and those that are neither better nor worse.`
      : "";
  }
  function count() {
    if (!family) return;
    const second = family.nets.find((net) => net.name === (other.value || usual));
    for (const place of root.querySelectorAll(".count")) {
      const first = family.nets.find((net) => net.name === place.dataset.net);
      if (first) place.textContent = first === second ? "" : formatCount(first, second);
    }
  }
  tied.addEventListener("change", () => {
    filter();
    keepInAddress(key("tied"), tied.value);
  });
  other.addEventListener("change", () => {
    count();
    keepInAddress(key("with"), other.value);
  });
  table.classList.add("opens");
  for (const net of nets) {
    const details = net.querySelector("details");
    const button = element("button", { type: "button", "aria-expanded": "false" }, net.dataset.net);
    button.addEventListener("click", () => (details.open = !details.open));
    net.rows[0].cells[0].replaceChildren(button);
    details.addEventListener("toggle", () => {
      button.setAttribute("aria-expanded", details.open);
      if (isPrinting) return;
      const open = nets.filter((each) => each.querySelector("details").open);
      keepInAddress(key("open"), open.map((each) => each.dataset.net).join(","));
    });
  }
  /** Restore what the address says. */
  function restore() {
    const sorted = chosen.get(key("sort")) ?? "-test";
    const column = labels.indexOf(sorted.replace(/^-/, ""));
    sort(column < 0 ? 1 : column, sorted.startsWith("-") || column < 0);
    for (const [list, name] of [[tied, "tied"], [other, "with"]]) {
      list.value = chosen.get(key(name)) ?? "";
      if (list.selectedIndex < 0) list.value = "";
    }
    const open = (chosen.get(key("open")) ?? "").split(",");
    for (const net of nets) net.querySelector("details").open = open.includes(net.dataset.net);
    filter();
    count();
  }
  table.closest(".wide").before(...(form.children.length > 1 ? [form] : []), status);
  restore();
  addEventListener("hashchange", () => {
    if (!location.hash.includes("=")) return;
    chosen = stateInAddress();
    restore();
  });
  addEventListener("beforeprint", () => nets.forEach((net) => (net.hidden = false)));
  addEventListener("afterprint", filter);
}

document.querySelectorAll(".explorer").forEach(explorer);
