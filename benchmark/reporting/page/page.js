// What all parts of the page share: the data, and how elements are made.

const DATA = JSON.parse(document.getElementById("data").textContent);

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** Unpack the bits of a net: one list of 0 and 1 per seed or fold. */
function unpack(base64, sizes) {
  const bytes = bytesOf(base64);
  let start = 0;
  return sizes.map((size) => {
    const offset = start;
    start += Math.ceil(size / 8);
    return Array.from({ length: size }, (_, i) => (bytes[offset + (i >> 3)] >> (7 - (i & 7))) & 1);
  });
}

for (const family of DATA.families) {
  for (const net of family.nets) net.correct = unpack(net.correct, family.sizes);
}

/** Create an element with attributes and children. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Return the element for a recipe, such as its table of nets. */
const partFor = (family, kind) => document.querySelector(`.${kind}[data-family="${family.key}"]`);

// Print everything, whatever is open.
let closed = [];
let isPrinting = false;
addEventListener("beforeprint", () => {
  isPrinting = true;
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const each of closed) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of closed) each.open = false;
  // The details tell that they were closed a little later.
  setTimeout(() => (isPrinting = false));
});
