// "Try a net": the baseline of architectures/baseline.py, computed here.
//
// A map is { channels, size, values }: channels × size × size numbers.

const SIDE = 32;

/** Convolve with 3×3 kernels; zeros around the image keep its size. */
function convolve(input, { shape: [nOut, nIn], weight, bias }) {
  const { size } = input;
  const values = new Float64Array(nOut * size * size);
  for (let out = 0; out < nOut; out++) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        let total = bias[out];
        for (let c = 0; c < nIn; c++) {
          for (let i = -1; i <= 1; i++) {
            for (let j = -1; j <= 1; j++) {
              total += weight[((out * nIn + c) * 3 + i + 1) * 3 + j + 1] * at(input, c, y + i, x + j);
            }
          }
        }
        values[(out * size + y) * size + x] = total;
      }
    }
  }
  return { channels: nOut, size, values };
}

/** The value at a place, and 0 outside. */
function at({ size, values }, channel, y, x) {
  const isInside = y >= 0 && y < size && x >= 0 && x < size;
  return isInside ? values[(channel * size + y) * size + x] : 0;
}

/** Keep the largest of each 2×2 values. */
function maxPool(input) {
  const size = input.size / 2;
  const values = new Float64Array(input.channels * size * size);
  for (let i = 0; i < values.length; i++) {
    const [channel, y, x] = [Math.floor(i / size / size), Math.floor(i / size) % size, i % size];
    const four = [0, 1].flatMap((dy) => [0, 1].map((dx) => at(input, channel, 2 * y + dy, 2 * x + dx)));
    values[i] = Math.max(...four);
  }
  return { channels: input.channels, size, values };
}

/** A fully connected layer. */
function connect(values, { shape: [nOut, nIn], weight, bias }) {
  return Array.from({ length: nOut }, (_, out) => {
    let total = bias[out];
    for (let i = 0; i < nIn; i++) total += weight[out * nIn + i] * values[i];
    return total;
  });
}

const tanh = (map) => ({ ...map, values: map.values.map(Math.tanh) });

/** Compute the scores of an image, and the maps of both convolutions. */
function forward(layers, image) {
  const conv1 = convolve(image, layers.conv1);
  const conv2 = convolve(maxPool(tanh(conv1)), layers.conv2);
  const flat = maxPool(tanh(conv2)).values;
  const hidden = connect(flat, layers.fc1).map(Math.tanh);
  return { conv1, conv2, scores: connect(hidden, layers.fc2) };
}

/** Normalize pixels, 3×32×32 numbers from 0 to 255, as the training images were. */
function normalize(pixels, { mean: center, std }) {
  const values = Float64Array.from(pixels, (pixel, i) => {
    const colour = Math.floor(i / SIDE / SIDE);
    return (pixel / 255 - center[colour]) / std[colour];
  });
  return { channels: 3, size: SIDE, values };
}

const numbersOf = (base64) => new Float32Array(bytesOf(base64).buffer);

/** Unpack the weights. */
function layersOf(net) {
  const unpacked = Object.entries(net.layers).map(([name, { shape, weight, bias }]) => [
    name,
    { shape, weight: numbersOf(weight), bias: numbersOf(bias) },
  ]);
  return Object.fromEntries(unpacked);
}

/** Whether the scores here are those of torch: not so if another net was trained. */
function isSameNet(net, layers) {
  return net.images.every(({ pixels, scores }) => {
    const found = forward(layers, normalize(bytesOf(pixels), net)).scores;
    return found.every((score, i) => Math.abs(score - scores[i]) < 1e-3);
  });
}

// Pictures ---------------------------------------------------------------------------

function canvas(width, height, attributes = {}) {
  return element("canvas", { width, height, ...attributes });
}

/** Draw pixels, 3×32×32 numbers from 0 to 255. */
function drawPixels(target, pixels) {
  const context = target.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  for (let i = 0; i < SIDE * SIDE; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = pixels[c * SIDE * SIDE + i];
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Draw the channels of a map next to each other: blue above 0, orange below. */
function drawMaps(target, map, columns) {
  const { channels, size, values } = map;
  const context = target.getContext("2d");
  const image = context.createImageData(target.width, target.height);
  const largest = values.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-9);
  for (let channel = 0; channel < channels; channel++) {
    const [left, top] = [(channel % columns) * (size + 1), Math.floor(channel / columns) * (size + 1)];
    for (let i = 0; i < size * size; i++) {
      const value = values[channel * size * size + i] / largest;
      const end = value > 0 ? [11, 98, 168] : [200, 90, 20];
      const place = 4 * ((top + Math.floor(i / size)) * target.width + left + (i % size));
      end.forEach((x, c) => (image.data[place + c] = 255 + Math.abs(value) * (x - 255)));
      image.data[place + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** Read a file as pixels: the middle square of the image, at 32×32. */
async function pixelsOf(file) {
  const bitmap = await createImageBitmap(file);
  const side = Math.min(bitmap.width, bitmap.height);
  const context = canvas(SIDE, SIDE).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white"; // behind transparent pixels
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(bitmap, (bitmap.width - side) / 2, (bitmap.height - side) / 2, side, side, 0, 0, SIDE, SIDE);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  return Array.from({ length: 3 * SIDE * SIDE }, (_, i) => {
    const [colour, pixel] = [Math.floor(i / SIDE / SIDE), i % (SIDE * SIDE)];
    return data[4 * pixel + colour];
  });
}

// The part of the page ---------------------------------------------------------------

const COLOURS = {
  "sky blue": [140, 185, 230], white: [245, 245, 245], grey: [130, 135, 140], black: [25, 25, 30],
  brown: [120, 85, 55], green: [70, 120, 60], red: [190, 60, 50],
};

/** Build the part with the net. */
function tryNet(net, layers) {
  let pixels = Float64Array.from(bytesOf(net.images[0].pixels));
  const cursor = { x: 16, y: 16 };
  const looked = { map: 0, y: 16, x: 16 };

  const drawing = canvas(SIDE, SIDE, {
    id: "drawing", tabindex: 0, role: "application",
    "aria-label": "Draw: arrow keys move, the space bar paints",
  });
  const status = element("p", { role: "status" });
  const scores = element("ul", { class: "scores" });
  const [nMaps, columns] = [layers.conv1.shape[0], 4];
  const sheet = (n, size) => [columns * (size + 1) - 1, Math.ceil(n / columns) * (size + 1) - 1];
  const first = canvas(...sheet(nMaps, SIDE), {
    id: "conv1", class: "maps", role: "img", "aria-label": `The ${nMaps} maps of the first convolution`,
  });
  const nSecond = layers.conv2.shape[0];
  const second = canvas(...sheet(nSecond, SIDE / 2), {
    id: "conv2", class: "maps", role: "img", "aria-label": `The ${nSecond} maps of the second convolution`,
  });
  const sum = element("table", { id: "sum" });
  const said = element("p", {});

  let result;
  function update(what) {
    result = forward(layers, normalize(pixels, net));
    const best = result.scores.indexOf(Math.max(...result.scores));
    drawPixels(drawing, pixels);
    if (document.activeElement === drawing) markCursor();
    drawMaps(first, result.conv1, columns);
    drawMaps(second, result.conv2, columns);
    scores.replaceChildren(
      ...net.classNames.map((name, i) => element("li", {}, `${name}: ${formatScore(result.scores[i])}`)),
    );
    if (what) status.textContent = `${what}: the net says ${net.classNames[best]}.`;
    look();
  }
  const formatScore = (x) => x.toFixed(2).replace("-0.00", "0.00").replace("-", "−");
  function markCursor() {
    const context = drawing.getContext("2d");
    context.fillStyle = "#ff00ff";
    context.fillRect(cursor.x, cursor.y, 1, 1);
  }

  /** Show the patch and the kernel behind one number of the first convolution. */
  function look() {
    const { map, y, x } = looked;
    const image = normalize(pixels, net);
    const rows = ["red", "green", "blue"].map((name, c) => {
      const cells = [];
      let part = 0;
      for (let i = -1; i <= 1; i++) {
        for (let j = -1; j <= 1; j++) {
          const pixel = at(image, c, y + i, x + j);
          const weight = layers.conv1.weight[((map * 3 + c) * 3 + i + 1) * 3 + j + 1];
          part += pixel * weight;
          cells.push(element("td", {}, `${formatScore(pixel)} · ${formatScore(weight)}`));
        }
      }
      return { name, cells, part };
    });
    const lines = rows.flatMap(({ name, cells, part }) => [0, 3, 6].map((start) =>
      element("tr", {}, ...(start ? [] : [element("th", { scope: "rowgroup", rowspan: 3 }, name)]),
        ...cells.slice(start, start + 3), ...(start ? [] : [element("td", { rowspan: 3 }, formatScore(part))])),
    ));
    const heading = (text) => element("th", { scope: "col" }, text);
    sum.replaceChildren(
      element("caption", {}, element("span", {}, "Pixel (normalized) · weight, and the sum for each colour")),
      element("thead", {}, element("tr", {}, heading("colour"), heading("left"), heading("middle"), heading("right"), heading("sum"))),
      element("tbody", {}, ...lines),
    );
    const bias = layers.conv1.bias[map];
    const parts = rows.map(({ part }) => formatScore(part)).join(" + ");
    said.textContent = `Map ${map}, row ${y}, column ${x}: ${parts} + ${formatScore(bias)} (bias) = ${formatScore(at(result.conv1, map, y, x))}.`;
  }

  // Images to choose, and files.
  const file = element("input", { type: "file", accept: "image/*" });
  const ready = element("div", { class: "ready", role: "group", "aria-label": "Images to try" });
  net.images.forEach(({ label, pixels: packed }, i) => {
    const small = canvas(SIDE, SIDE, { "aria-hidden": "true" });
    const values = bytesOf(packed);
    drawPixels(small, values);
    const name = `Image ${i + 1}, ${net.classNames[label]}`;
    const button = element("button", { type: "button", "aria-label": name, title: name }, small);
    button.addEventListener("click", () => {
      file.value = "";
      pixels = Float64Array.from(values);
      update(name);
    });
    ready.append(button);
  });
  file.addEventListener("change", async () => {
    const [given] = file.files;
    if (!given) return;
    try {
      pixels = Float64Array.from(await pixelsOf(given));
      update(given.name);
    } catch {
      status.textContent = `${given.name} is not an image that this browser can open; choose a JPEG or PNG file.`;
    }
  });

  // Drawing.
  const colour = element("select", {}, ...Object.keys(COLOURS).map((name) => element("option", {}, name)));
  colour.value = "black";
  const size = element("select", {}, ...[1, 2, 4].map((n) => element("option", { value: n }, `${n} pixel${n > 1 ? "s" : ""}`)));
  size.value = "2";
  function paint(x, y, side) {
    for (let dy = 0; dy < side; dy++) {
      for (let dx = 0; dx < side; dx++) {
        if (x + dx >= SIDE || y + dy >= SIDE) continue;
        COLOURS[colour.value].forEach((value, c) => (pixels[(c * SIDE + y + dy) * SIDE + x + dx] = value));
      }
    }
  }
  const clear = element("button", { type: "button" }, "Clear");
  clear.addEventListener("click", () => {
    const before = colour.value;
    colour.value = "sky blue";
    paint(0, 0, SIDE);
    file.value = "";
    colour.value = before;
    update("An empty sky");
  });
  /** Where in the canvas the pointer is: column and row. */
  function placeOf(event, target) {
    const box = target.getBoundingClientRect();
    const inside = (share, n) => Math.min(n - 1, Math.max(0, Math.floor(share * n)));
    return {
      x: inside((event.clientX - box.left) / box.width, target.width),
      y: inside((event.clientY - box.top) / box.height, target.height),
    };
  }
  let isDown = false;
  const drawAt = (event) => {
    if (!isDown) return;
    const { x, y } = placeOf(event, drawing);
    paint(x, y, Number(size.value));
    update("Your drawing");
  };
  drawing.addEventListener("pointerdown", (event) => {
    isDown = true;
    drawing.setPointerCapture(event.pointerId);
    drawAt(event);
  });
  drawing.addEventListener("pointermove", drawAt);
  for (const end of ["pointerup", "pointercancel"]) drawing.addEventListener(end, () => (isDown = false));
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  drawing.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    if (move) {
      cursor.x = Math.min(SIDE - 1, Math.max(0, cursor.x + move[0]));
      cursor.y = Math.min(SIDE - 1, Math.max(0, cursor.y + move[1]));
      update();
      status.textContent = `Row ${cursor.y}, column ${cursor.x}.`;
    } else {
      paint(cursor.x, cursor.y, Number(size.value));
      update("Your drawing");
    }
  });
  for (const change of ["focus", "blur"]) drawing.addEventListener(change, () => update());

  // One number of the first convolution.
  const places = { map: nMaps, y: SIDE, x: SIDE };
  const fields = Object.entries(places).map(([name, n]) => {
    const field = element("input", { type: "number", min: 0, max: n - 1, step: 1, value: looked[name] });
    field.addEventListener("input", () => {
      if (numberIn(field) === null) return;
      looked[name] = Number(field.value);
      look();
    });
    return [name, field];
  });
  first.addEventListener("click", (event) => {
    const { x, y } = placeOf(event, first);
    const map = Math.floor(y / (SIDE + 1)) * columns + Math.floor(x / (SIDE + 1));
    if (map >= nMaps) return;
    Object.assign(looked, { map, x: Math.min(SIDE - 1, x % (SIDE + 1)), y: Math.min(SIDE - 1, y % (SIDE + 1)) });
    for (const [name, field] of fields) field.value = looked[name];
    look();
  });
  const titles = { map: "map", y: "row", x: "column" };
  const place = element("fieldset", {}, element("legend", {}, "One number of the first convolution"),
    ...fields.map(([name, field]) => element("label", {}, titles[name], field)));

  const titled = (text, ...parts) => element("div", {}, element("h3", {}, text), ...parts);
  update(`Image 1, ${net.classNames[net.images[0].label]}`);
  return [
    ready,
    element("fieldset", {}, element("legend", {}, "Or"), element("label", {}, "open an image", file),
      element("label", {}, "draw in", colour), element("label", {}, "with a brush of", size), clear),
    status,
    element("div", { class: "side" },
      titled("What the net sees", drawing, scores,
        element("p", { class: "quiet" }, "Scores, not probabilities: the higher one wins. It always answers one of these classes; it cannot answer “neither”.")),
      titled("First convolution", first),
      titled("Second convolution", second)),
    element("p", { class: "quiet" }, "Each map is what one kernel makes of the whole image: blue above 0, orange below. Choose a place in the first convolution, or click on a map, to see the 3×3 pixels and weights behind its number."),
    place,
    said,
    element("div", { class: "wide", tabindex: 0, role: "group", "aria-label": "Scrollable table of pixels and weights" }, sum),
  ];
}

if (DATA.net) {
  const layers = layersOf(DATA.net);
  const place = document.getElementById("net-here");
  if (isSameNet(DATA.net, layers)) place.replaceChildren(...tryNet(DATA.net, layers));
  else {
    document.getElementById("net-kind").remove();
    place.replaceChildren("This page can only run the book's baseline, and architectures/baseline.py is a different net.");
  }
}
